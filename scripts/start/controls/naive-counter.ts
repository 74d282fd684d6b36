import type { NatsLink } from '../../../shared/nats/link.ts'

const SUBJECT = 'naive.view'
const MAX_RUNS = 100

/** The number of views that a run published, and the number of those that arrived. */
export type NaiveCount = { published: number; counted: number; connected: boolean }

/**
 * A counter like those in tutorials: the edge publishes each view with core NATS, at most once, and a subscriber keeps
 * the counts in memory. The tour compares this counter with the log.
 */
export function createNaiveCounter(nats: Pick<NatsLink, 'connection' | 'onUp' | 'state'>) {
  const runs = new Map<string, { published: number; counted: number }>()

  nats.onUp((connection) => {
    connection.subscribe(SUBJECT, {
      callback(error, { data }) {
        const run = runs.get(new TextDecoder().decode(data))
        if (!error && run) run.counted += 1
      },
    })
  })

  function open(id: string) {
    const run = runs.get(id) ?? { published: 0, counted: 0 }
    runs.set(id, run)
    const [oldest] = runs.keys()
    if (runs.size > MAX_RUNS && oldest !== undefined) runs.delete(oldest)
    return run
  }

  /** Publishes `views` views for a run, possibly 0, and returns the run's counts. */
  return function publish(id: string, views: number): NaiveCount {
    const run = open(id)
    for (let n = 0; n < views; n += 1) {
      run.published += 1
      try {
        nats.connection().publish(SUBJECT, new TextEncoder().encode(id))
      } catch {
        // The view is lost. The tour demonstrates this loss.
      }
    }
    return { ...run, connected: nats.state() === 'up' }
  }
}
