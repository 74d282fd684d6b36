import { services } from '../../services.ts'
import { type LogPosition, Position, toLogPosition } from '../../shared/contracts/position.ts'
import { missingAfter } from '../../shared/event-log/extent.ts'
import {
  readBacklog,
  readDeadLetterStatus,
  readStreamStatus,
  type StreamStatus,
} from '../../shared/event-log/stream-status.ts'
import { connectToNats } from '../../shared/nats/connect.ts'
import type { NatsAccess } from '../../shared/nats/credentials.ts'
import {
  isTemporary,
  isWithoutJetStream,
  type JetStreamManager,
  openJetStreamManager,
} from '../../shared/nats/jetstream.ts'
import { NatsTlsError } from '../../shared/nats/tls.ts'
import { toReason } from '../../shared/runtime/reason.ts'
import { probe } from '../http.ts'
import { plural } from '../plural.ts'
import { type Finding, findingsAbout } from './finding.ts'
import { type Samples, sampleTwice, toMetric } from './metrics.ts'
import { checkBuckets, diagnoseReplication, START_SERVERS } from './replicas.ts'
import type { Inspected } from './services.ts'

const nats = findingsAbout('nats')
const log = findingsAbout('log')
const counting = findingsAbout('counting')

/** A message that is still uncounted at this age is stuck, because an interrupted batch is retried sooner. */
const STUCK_S = 3
const LATE_S = 10

type Options = {
  access: NatsAccess
  /** play's instances. The promise settles late if one of them hangs. */
  plays: Promise<Inspected[]>
  /** reporting's origins. */
  reporting: string[]
  maxAgeMs: number | undefined
  /** The value of EVENTS_REPLICAS. */
  replicas: number | undefined
}

/** Checks NATS, the log, and how far reporting has counted it. Changes nothing. */
export async function* checkNats({ access, plays, reporting, maxAgeMs, replicas }: Options): AsyncGenerator<Finding> {
  try {
    using stack = new DisposableStack()
    const connection = await connectToNats({ ...access, name: 'doctor', timeoutMs: 1_000 })
    stack.defer(() => void connection.close())
    const jsm = await openJetStreamManager({ connection: () => connection })
    const { version = 'unknown', cluster } = connection.info ?? {}
    const up = nats.ok(`${connection.getServer()} (nats-server ${version}) is up`)
    const stream = await readStreamStatus(jsm).catch((error): 'no leader' => {
      if (cluster && isTemporary(error)) return 'no leader'
      throw error
    })
    yield up
    if (stream === 'no leader') return yield log.fail(`no leader of the stream EVENTS responds: ${START_SERVERS}`)
    if (!stream) return yield log.ok('the stream EVENTS does not exist yet: nothing has been played')
    const sampling = sampleTwice(() => readLag(jsm, reporting)).catch(() => undefined)
    yield diagnoseStream(stream, maxAgeMs)
    yield* diagnoseReplication(stream.info, { name: 'log', version, wanted: replicas })
    yield* checkBuckets(jsm, [services.metadata, services.cdnurl], { version, wanted: replicas })
    yield* diagnoseMaxAges(await plays, stream)
    const { count, lastReason = 'unknown' } = await readDeadLetterStatus({ connection: () => connection })
    yield* diagnoseDeadLetters(count, ` in events.rejected (reason for the last one: ${lastReason})`)
    const lag = await sampling
    if (lag) yield* diagnoseCounting(lag)
  } catch (error) {
    const servers = access.servers.join(',')
    yield nats.fail(`${servers} ${diagnoseError(error)}; until then, views go to play's outbox`)
  }
}

function diagnoseError(error: unknown): string {
  const enable = 'start it with --jetstream, or enable it for this account'
  if (isWithoutJetStream(error)) return `does not have JetStream enabled: ${enable}`
  const reason = toReason(error)
  if (error instanceof NatsTlsError) return `cannot be used with TLS (${reason}): fix NATS_CA, or its certificate`
  if (/authorization|authentication/i.test(reason)) {
    return 'rejects the credentials: fix NATS_URL, or NATS_CREDS or NATS_NKEY'
  }
  return `is unreachable (${reason}): start it, or fix NATS_URL`
}

function toRetention(milliseconds: number | undefined): string {
  if (!milliseconds) return 'forever'
  return `for ${Temporal.Duration.from({ milliseconds }).round({ largestUnit: 'days' }).toLocaleString('en')}`
}

function diagnoseStream(stream: StreamStatus, wantedMs: number | undefined): Finding {
  const size = `${(stream.bytes / 1e3).toLocaleString('en', { maximumFractionDigits: 1 })} kB`
  const since = stream.since ? ` since ${stream.since.toISOString().slice(0, 19)}Z` : ''
  const text = `stream EVENTS: ${plural(stream.messages, 'message')}, ${size}${since}, kept ${toRetention(stream.maxAgeMs)}`
  const restart = 'restart queue-listener with this EVENTS_MAX_AGE'
  if (wantedMs === undefined || wantedMs === stream.maxAgeMs) return log.ok(text)
  return log.warn(`${text}, not ${toRetention(wantedMs)}: ${restart}`)
}

function diagnoseDeadLetters(count: number, where = ''): Finding[] {
  const fix = 'fix its producer; then resolve the dead letters with npm run dead-letters'
  return count > 0 ? [log.warn(`${plural(count, 'dead letter')}${where}: ${fix}`)] : []
}

/** @throws if reporting does not respond */
async function readLag(jsm: JetStreamManager, reporting: string[]): Promise<Lag> {
  const probes = reporting.map((origin) => probe(`${origin}/events/position`, { timeoutMs: 1_000 }))
  const position = await Promise.any(probes.map(async (response) => Position.nullable().parse((await response).json)))
  const counted = position ? toLogPosition(position) : undefined
  // Read the log after the position. Otherwise, a growing log could appear to end before the position.
  const { end, extent } = (await readStreamStatus(jsm)) ?? {}
  const { messages: backlog, since = new Date() } = await readBacklog(jsm, counted)
  const seconds = (Date.now() - since.getTime()) / 1_000
  const { from, to } = (extent && missingAfter(counted, extent)) ?? { from: 1, to: 0 }
  return { backlog, seconds, position: JSON.stringify(position), counted, end, missing: to - from + 1 }
}

/**
 * Warns if play's EVENTS_MAX_AGE differs from the stream's, because only queue-listener's setting changes the stream.
 */
function* diagnoseMaxAges(plays: Inspected[], { maxAgeMs }: StreamStatus): Generator<Finding> {
  for (const { origin, metrics } of plays) {
    const ownMs = toMetric(metrics, 'events_max_age_seconds') * 1_000
    if (Number.isNaN(ownMs) || ownMs === maxAgeMs) continue
    const text = `${origin} is set to keep views ${toRetention(ownMs)}, but the log keeps them ${toRetention(maxAgeMs)}`
    yield log.warn(`${text}: set the same EVENTS_MAX_AGE for play and queue-listener`)
  }
}

/** Checks the log in embedded mode, based only on queue-listener's metrics. */
export async function* checkEmbeddedLog(inspected: Inspected[]): AsyncGenerator<Finding> {
  yield log.ok('embedded mode: a file in DATA_DIR, without NATS')
  const listener = inspected.find(({ service }) => service === services['queue-listener'])
  if (!listener) return
  yield* diagnoseDeadLetters(toMetric(listener.metrics, 'dead_letters'))
  const lag = await sampleTwice(async () => {
    const { text } = await probe(`${listener.origin}/metrics`)
    const read = (name: string) => toMetric(text, `event_log_${name}`)
    const missing = read('missing_messages')
    return { backlog: read('lag_messages'), seconds: read('lag_seconds'), position: String(read('position')), missing }
  })
  yield* diagnoseCounting(lag)
}

/** `position` is opaque, and `missing` is the number of uncounted messages that the log no longer has. */
export type Lag = {
  backlog: number
  /** The age of the oldest uncounted message. */
  seconds: number
  position: string
  missing?: number
  counted?: LogPosition | undefined
  end?: LogPosition | undefined
}

/** Checks that reporting counts this log, and that it counts views as fast as the log grows. */
export function* diagnoseCounting({ first, second = first }: Samples<Lag>): Generator<Finding> {
  const { counted, end } = first
  const { missing = 0 } = second
  if (missing > 0) {
    const fix = 'restore a backup of the counts, or accept the loss with npm run counts -- accept-loss'
    return yield counting.fail(`the log no longer has ${plural(missing, 'message')} that are not counted: ${fix}`)
  }
  if (counted && counted.incarnation === end?.incarnation && counted.sequence > end.sequence) {
    const text = `the log ends at ${end.sequence}, but reporting has counted up to ${counted.sequence}`
    const cause =
      'the log lost messages, or was restored from a backup; stop reporting, restore a backup of the counts from that time, or move its checkpoint out of DATA_DIR (with Postgres: drop the schema reporting), and restart reporting, which then replays the log'
    return yield counting.fail(`${text}: ${cause}`)
  }
  if (second.backlog === 0) return yield counting.ok('all messages in the log are counted')
  if (Number.isNaN(second.backlog)) return
  const lag = `${plural(second.backlog, 'message')} not counted yet, the oldest for ${Math.round(second.seconds)} s`
  const isStuck = first.position === second.position && second.seconds > STUCK_S
  const listener = "check queue-listener's log; its WRITE_TOKEN may be missing or wrong"
  const capacity = "see docs/performance.md for reporting's capacity"
  if (!isStuck && second.seconds <= LATE_S) yield counting.ok(lag)
  else if (!isStuck && second.backlog < first.backlog) yield counting.warn(`${lag}, but the backlog is shrinking: wait`)
  else if (isStuck) yield counting.fail(`${lag}, without progress: ${listener}`)
  else yield counting.fail(`${lag}, and the backlog is not shrinking: ${capacity}`)
}
