import type { ServiceProcess } from '../../tests/harness/service-process.ts'
import type { System } from '../../tests/harness/system.ts'

/** A system under test. */
export type Target = {
  name: string
  url: string
  /** The ids of its processes, keyed by their column in the table. */
  pids(): Record<string, number[]>
  /** The path of a file with users to play as, one `user token` per line. */
  tokens?: string | undefined
}

/** A target whose plays a reporting service counts, possibly together with other targets' plays. */
export type CountedTarget = Target & {
  /** The number of processes that share the port. */
  processes: number
  reporting: string
}

/** Returns the target for a system. `plays` are the play processes that receive the load, by default the system's own. */
export function toCountedTarget(name: string, system: System, plays: ServiceProcess[] = [system.play]): CountedTarget {
  const { reporting, listener, nats } = system
  const pids = () => ({
    play: plays.map((play) => play.pid()),
    reporting: [reporting.pid()],
    'queue-listener': [listener.pid()],
    'nats-server': [nats.pid()],
  })
  return { name, url: plays[0]?.url ?? '', pids, processes: plays.length, reporting: reporting.url }
}
