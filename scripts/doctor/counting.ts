import type { LogPosition } from '../../shared/contracts/position.ts'
import { type LogExtent, missingAfter } from '../../shared/event-log/extent.ts'
import { readBacklog, readStreamStatus } from '../../shared/event-log/stream-status.ts'
import type { JetStreamManager } from '../../shared/nats/jetstream.ts'
import { readPosition } from '../counts/system.ts'
import { probe } from '../http.ts'
import { plural } from '../plural.ts'
import { type Finding, findingsAbout } from './finding.ts'
import { toMetric } from './metrics.ts'

const { ok, warn, fail } = findingsAbout('counting')

/** A message that is still uncounted at this age is stuck, because an interrupted batch is retried sooner. */
const STUCK_S = 3
const LATE_S = 10

/** `position` is opaque, and `missing` is the number of uncounted messages that the log no longer has. */
export type Lag = {
  backlog: number
  /** The age of the oldest uncounted message. */
  seconds: number
  position: string
  missing?: number
  counted?: LogPosition | undefined
  extent?: LogExtent | undefined
}

/**
 * Reads how far reporting has counted the log.
 * @throws if reporting does not respond
 */
export async function readLag(jsm: JetStreamManager, reporting: string[]): Promise<Lag> {
  const counted = await Promise.any(reporting.map((origin) => readPosition(origin, 1_000)))
  // Read the log after the position. Otherwise, a growing log could appear to end before the position.
  const { extent } = (await readStreamStatus(jsm)) ?? {}
  const { messages: backlog, since = new Date() } = await readBacklog(jsm, counted)
  const { from, to } = (extent && missingAfter(counted, extent)) ?? { from: 1, to: 0 }
  const seconds = (Date.now() - since.getTime()) / 1_000
  return { backlog, seconds, position: JSON.stringify(counted ?? null), missing: to - from + 1, counted, extent }
}

/** Reads how far reporting has counted the log in embedded mode, from queue-listener's metrics. */
export async function readEmbeddedLag(listener: string): Promise<Lag> {
  const { text } = await probe(`${listener}/metrics`)
  const read = (name: string) => toMetric(text, `event_log_${name}`)
  const [position, missing] = [String(read('position')), read('missing_messages')]
  return { backlog: read('lag_messages'), seconds: read('lag_seconds'), position, missing }
}

/** Checks that reporting counts this log, and that it counts views as fast as the log grows. */
export function* diagnoseCounting([first, second]: [Lag, Lag]): Generator<Finding> {
  const { counted, extent } = first
  const { missing = 0, backlog, seconds } = second
  if (missing > 0) {
    const fix = 'restore a backup of the counts, or accept the loss with npm run counts -- accept-loss'
    return yield fail(`the log no longer has ${plural(missing, 'message')} that are not counted: ${fix}`)
  }
  if (counted && counted.incarnation === extent?.incarnation && counted.sequence > extent.last) {
    const text = `the log ends at ${extent.last}, but reporting has counted up to ${counted.sequence}`
    const cause =
      'the log lost messages, or was restored from a backup; stop reporting, restore a backup of the counts from that time, or move its checkpoint out of DATA_DIR (with Postgres: drop the schema reporting), and restart reporting, which then replays the log'
    return yield fail(`${text}: ${cause}`)
  }
  if (backlog === 0) return yield ok('all messages in the log are counted')
  if (Number.isNaN(backlog)) return
  const lag = `${plural(backlog, 'message')} not counted yet, the oldest for ${Math.round(seconds)} s`
  const listener = "check queue-listener's log; its WRITE_TOKEN may be missing or wrong"
  if (first.position === second.position && seconds > STUCK_S) {
    yield fail(`${lag}, without progress: ${listener}`)
  } else if (seconds <= LATE_S) yield ok(lag)
  else if (backlog < first.backlog) yield warn(`${lag}, but the backlog is shrinking: wait`)
  else yield fail(`${lag}, and the backlog is not shrinking: see docs/performance.md for reporting's capacity`)
}
