import type { History, HistoryRange } from '../../shared/contracts/history.ts'
import { type HistoryStore, type Step, startOf } from './store.ts'

/** For each range, the length of a step in seconds, and the number of steps (at most 300). */
const RANGES: Record<HistoryRange, { step: Step; count: number }> = {
  '5m': { step: 1, count: 300 },
  '1h': { step: 15, count: 240 },
  '24h': { step: 300, count: 288 },
}

const toTime = (at: number) => new Date(at).toISOString()

/** Reads the range of the history that ends at `now` (milliseconds since 1970). */
export function readRange(store: HistoryStore, services: string[], range: HistoryRange, now: number): History {
  const { step, count } = RANGES[range]
  const from = startOf(now, step) - (count - 1) * step * 1_000
  const first = store.first()
  return {
    range,
    step,
    now: toTime(now),
    since: first === undefined ? null : toTime(first),
    services,
    points: store.points(step, from, now).map(({ at, ...values }) => ({ at: toTime(at), ...values })),
    outages: store.outages(from, now).map(({ service, instance, state, reason, start, end, isOpen }) => ({
      service,
      ...(instance && { instance }),
      state,
      ...(reason && { reason }),
      from: toTime(start),
      to: isOpen ? null : toTime(end),
    })),
    restarts: store.restarts(from, now).map(({ service, instance, at }) => {
      return { service, ...(instance && { instance }), at: toTime(at) }
    }),
  }
}
