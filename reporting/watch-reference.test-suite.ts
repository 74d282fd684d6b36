import fc from 'fast-check'
import type { View, WatchedView } from '../shared/contracts/view.ts'
import type { CountBatch } from './count-store.ts'

export const START = Date.parse('2026-11-20T21:00:00Z')
export const DAY_S = 86_400
export const assets = ['a', 'b']
export const users = ['u', 'v']

const play = {
  id: fc.nat(5).map((n) => `view-${n}`),
  assetId: fc.constantFrom(...assets),
  userId: fc.constantFrom(...users),
}
const drawnView = fc.record({
  ...play,
  before: fc.oneof(fc.nat(40), fc.constant(2 * 3_600)),
  duration: fc.option(fc.constantFrom(0.001, 20, 40.5, 61), { nil: undefined }),
})
const drawnReport = fc.record({
  ...play,
  seconds: fc.constantFrom(0, 0.0004, 9.9, 10, 20.249, 20.25, 29.9996, 30, 31.5),
})
export const drawnMessage = fc.record({
  after: fc.oneof({ weight: 5, arbitrary: fc.nat(40) }, fc.constantFrom(DAY_S - 40, DAY_S, DAY_S + 1)),
  events: fc.array(fc.oneof(drawnView, drawnReport), { minLength: 1, maxLength: 5 }),
})

type Drawn = typeof drawnMessage extends fc.Arbitrary<infer Message> ? Message : never

export type Report = Pick<WatchedView, 'viewId' | 'assetId' | 'userId' | 'seconds'>

/** A message in the log. `at`: when the log stored it. */
export type Message = { at: string; events: (View | Report)[] }

const isView = (event: View | Report): event is View => 'id' in event

export function toLog(drawn: readonly Drawn[]): Message[] {
  let stored = START
  return drawn.map(({ after, events }) => {
    stored += after * 1_000
    return {
      at: toTime(stored),
      events: events.map((event): View | Report => {
        const { id, assetId, userId } = event
        if ('seconds' in event) return { viewId: id, assetId, userId, seconds: event.seconds }
        const view = { id, assetId, userId, at: toTime(stored - event.before * 1_000) }
        return event.duration === undefined ? view : { ...view, duration: event.duration }
      }),
    }
  })
}

export function toBatch(log: readonly Message[], after: number, through: number): CountBatch {
  const batch = { views: [] as View[], watched: [] as WatchedView[] }
  const messages = log.slice(after, through).map(({ at, events }, n) => {
    const sequence = after + n + 1
    let index = 0
    for (const event of events) {
      if (isView(event)) batch.views.push(event)
      else batch.watched.push({ ...event, sequence, index })
      if (isView(event)) index += 1
    }
    return { sequence, views: index, at }
  })
  return { incarnation: 'log', after, through, ...batch, messages }
}

type Judged = View & {
  clock: number
  sequence: number
  because: View | undefined
  required: number
  watched: number | undefined
}

/** Judges a whole log at once, without batches, bounds, or code from the engine. Times are in milliseconds. */
export function judgeLog(log: readonly Message[]) {
  const views: Judged[] = []
  const early: (Report & { clock: number })[] = []
  let clock = 0

  function judge(view: View, sequence: number): void {
    const previous = views.findLast((other) => isSamePlay(other, view))
    const isRepeat =
      previous && clock - previous.clock <= 30_000 && Math.abs(Date.parse(view.at) - Date.parse(previous.at)) <= 30_000
    const reports = early.filter(
      (report) => report.viewId === view.id && isSamePlay(report, view) && isInTime(report.clock, clock),
    )
    views.push({
      ...view,
      clock,
      sequence,
      because: isRepeat ? previous : undefined,
      required: Math.min(30_000, Math.ceil((view.duration ?? 60) * 500)),
      watched: greatest(reports.map(({ seconds }) => Math.round(seconds * 1_000))),
    })
  }

  function apply(report: Report): void {
    const view = views.findLast(({ id }) => id === report.viewId)
    if (!view || !isInTime(view.clock, clock)) keep(report)
    else if (isSamePlay(view, report)) view.watched = Math.max(view.watched ?? 0, Math.round(report.seconds * 1_000))
  }

  /** Keeps a report whose view is not in the log, and renews the earlier reports for the same play. */
  function keep(report: Report): void {
    for (const earlier of early)
      if (earlier.viewId === report.viewId && isSamePlay(earlier, report) && isInTime(earlier.clock, clock))
        earlier.clock = clock
    early.push({ ...report, clock })
  }

  for (const [n, { at, events }] of log.entries()) {
    clock = Math.max(clock, Date.parse(at))
    for (const event of events) {
      if (isView(event)) judge(event, n + 1)
      else apply(event)
    }
  }
  return views.map((view) => ({ ...view, ...verdictOf(view, clock) }))
}

function verdictOf({ because, watched, required, clock: countedAt }: Judged, clock: number) {
  if (because) return { verdict: 'not-qualified', reason: 'repeat' } as const
  if (watched !== undefined && watched >= required) return { verdict: 'qualified', reason: null } as const
  if (isInTime(countedAt, clock)) return { verdict: 'pending', reason: 'watch-time' } as const
  return { verdict: 'not-qualified', reason: watched === undefined ? 'no-watch-report' : 'watch-time' } as const
}

function isInTime(start: number, clock: number): boolean {
  return Math.floor(clock / 1_000) - Math.floor(start / 1_000) <= DAY_S
}

function isSamePlay(a: Pick<View, 'assetId' | 'userId'>, b: typeof a): boolean {
  return a.assetId === b.assetId && a.userId === b.userId
}

function greatest(times: number[]): number | undefined {
  return times.length === 0 ? undefined : Math.max(...times)
}

export function toTime(ms: number): string {
  return new Date(ms).toISOString()
}
