import type { Link, Traffic } from '../../shared/contracts/system-status.ts'
import type { HistoryStore } from './store.ts'

const SECOND_MS = 1_000
const WINDOW = 5

/** Every play process observes the same calls on these links, so the highest count is used instead of the sum. */
const SHARED = ['events queue-listener', 'queue-listener reporting']
/** On these links, the items are cache reads. A read without a call is a cache hit. */
const CACHED = ['play metadata', 'play cdnurl']

type Row = ReturnType<HistoryStore['traffic']>[number]

/**
 * The traffic of the last few seconds, added up over all play processes that share the port.
 * @param p99s the latencies that this process measured, in milliseconds, keyed by `from to`
 * @returns undefined before the first sample
 */
export function readTraffic(store: HistoryStore, p99s: Map<string, number | null>, now: number): Traffic | undefined {
  const latest = store.last(now)
  if (latest === undefined) return undefined
  const rows = store.traffic(latest - (WINDOW - 1) * SECOND_MS, latest)
  const seconds = new Set(rows.map(({ at }) => at)).size
  const links = new Set(rows.flatMap(({ traffic }) => Object.keys(traffic)))
  return {
    at: new Date(latest + SECOND_MS).toISOString(),
    processes: new Set(rows.map(({ process }) => process)).size,
    edges: [...links].map((link) => toLink(link, rows, { latest, seconds, p99Ms: p99s.get(link) ?? null })),
  }
}

type Window = { latest: number; seconds: number; p99Ms: number | null }

function toLink(link: string, rows: Row[], { latest, seconds, p99Ms }: Window): Link {
  const [from = '', to = ''] = link.split(' ')
  const calls = total(link, rows, 0)
  const items = total(link, rows, 1)
  const lastRows = rows.filter(({ at }) => at === latest)
  const isCached = CACHED.includes(link)
  return {
    from,
    to,
    calls: total(link, lastRows, 0),
    rate: calls / seconds,
    p99Ms,
    ...(isCached && items > 0 && { cached: Math.max(0, 1 - calls / items) }),
    ...(!isCached && items > 0 && calls > 0 && { batch: items / calls }),
  }
}

/** The number of calls (0), or the number of items in these calls (1). */
function total(link: string, rows: Row[], index: 0 | 1): number {
  const bySecond = Map.groupBy(rows, ({ at }) => at)
  const totals = [...bySecond.values()].map((second) => {
    const counts = second.map(({ traffic }) => traffic[link]?.[index] ?? 0)
    return SHARED.includes(link) ? Math.max(...counts) : sum(counts)
  })
  return sum(totals)
}

function sum(values: number[]): number {
  return values.reduce((total, value) => total + value, 0)
}
