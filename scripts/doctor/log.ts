import { services } from '../../services.ts'
import { LostViews } from '../../shared/contracts/lost-views.ts'
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
import { type Finding, fail, ok, plural, warn } from './finding.ts'
import { probe, type Samples, sampleTwice, toMetric } from './probe.ts'
import { checkBuckets, diagnoseReplication, START_SERVERS } from './replicas.ts'

/** A message that is still uncounted at this age is stuck: an interrupted batch is retried sooner. */
const STUCK_S = 3
const LATE_S = 10
/** Maximum number of gaps to print. */
const MAX_GAPS = 5

type Options = {
  access: NatsAccess
  plays: string[]
  reporting: string[]
  maxAgeMs: number | undefined
  /** EVENTS_REPLICAS. */
  replicas: number | undefined
}

/** Checks NATS, the log, and how far reporting has counted it. Read-only. */
export async function* checkNats({ access, plays, reporting, maxAgeMs, replicas }: Options): AsyncGenerator<Finding> {
  try {
    using stack = new DisposableStack()
    const connection = await connectToNats({ ...access, name: 'doctor', timeoutMs: 1_000 })
    stack.defer(() => void connection.close())
    const jsm = await openJetStreamManager({ connection: () => connection })
    const { version = 'unknown', cluster } = connection.info ?? {}
    const up = ok('nats', `${connection.getServer()} (nats-server ${version}) is up`)
    const stream = await readStreamStatus(jsm).catch((error): 'no leader' => {
      if (cluster && isTemporary(error)) return 'no leader'
      throw error
    })
    yield up
    if (stream === 'no leader') return yield fail('log', `no leader of the stream EVENTS responds: ${START_SERVERS}`)
    if (!stream) return yield ok('log', 'the stream EVENTS does not exist yet: nothing has been played')
    yield* diagnoseStream(stream, maxAgeMs)
    yield* diagnoseReplication(stream.info, { name: 'log', version, wanted: replicas })
    yield* checkBuckets(jsm, [services.metadata, services.cdnurl], { version, wanted: replicas })
    yield* checkMaxAges(plays, stream)
    const { count, lastReason = 'unknown' } = await readDeadLetterStatus({ connection: () => connection })
    yield* diagnoseDeadLetters(count, ` in events.rejected, the last one because: ${lastReason}`)
    const lag = await sampleTwice(() => readLag(jsm, reporting)).catch(() => undefined)
    if (lag) yield* diagnoseCounting(lag)
  } catch (error) {
    yield fail(
      'nats',
      `${access.servers.join(',')} ${diagnoseError(error)}; until then, views go to the outbox of play`,
    )
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

function* diagnoseStream(stream: StreamStatus, wantedMs: number | undefined): Generator<Finding> {
  const size = `${(stream.bytes / 1e3).toLocaleString('en', { maximumFractionDigits: 1 })} kB`
  const since = stream.since ? ` since ${stream.since.toISOString().slice(0, 19)}Z` : ''
  const text = `stream EVENTS: ${plural(stream.messages, 'message')}, ${size}${since}, kept ${toRetention(stream.maxAgeMs)}`
  const restart = 'restart queue-listener with this EVENTS_MAX_AGE'
  if (wantedMs === undefined || wantedMs === stream.maxAgeMs) yield ok('log', text)
  else yield warn('log', `${text}, not ${toRetention(wantedMs)}: ${restart}`)
}

function* diagnoseDeadLetters(count: number, where: string): Generator<Finding> {
  const fix = 'fix its producer; then resolve the dead letters with npm run dead-letters'
  if (count > 0) yield warn('log', `${plural(count, 'dead letter')}${where}: ${fix}`)
}

/** @throws if reporting does not respond */
async function readLag(jsm: JetStreamManager, reporting: string[]): Promise<Lag> {
  const probes = reporting.map((origin) => probe(origin, '/events/position', { timeoutMs: 1_000 }))
  const position = await Promise.any(probes.map(async (response) => Position.nullable().parse((await response).json)))
  const counted = position ? toLogPosition(position) : undefined
  // Read after the position: otherwise, a growing log could appear to end before the position.
  const { end, extent } = (await readStreamStatus(jsm)) ?? {}
  const { messages: backlog, since = new Date() } = await readBacklog(jsm, counted)
  const seconds = (Date.now() - since.getTime()) / 1_000
  const { from, to } = (extent && missingAfter(counted, extent)) ?? { from: 1, to: 0 }
  return { backlog, seconds, position: JSON.stringify(position), counted, end, missing: to - from + 1 }
}

/** Warns if play has a different EVENTS_MAX_AGE, because only the setting of queue-listener changes the stream. */
async function* checkMaxAges(plays: string[], { maxAgeMs }: StreamStatus): AsyncGenerator<Finding> {
  for (const origin of plays) {
    const ownMs = toMetric(await probe(origin, '/metrics'), 'events_max_age_seconds') * 1_000
    if (Number.isNaN(ownMs) || ownMs === maxAgeMs) continue
    const text = `${origin} would keep views ${toRetention(ownMs)}, but the log keeps them ${toRetention(maxAgeMs)}`
    yield warn('log', `${text}: set the same EVENTS_MAX_AGE for play and queue-listener`)
  }
}

/** Checks that the log has lost no views, according to reporting. */
export async function* checkLosses(reporting: string[]): AsyncGenerator<Finding> {
  for (const origin of reporting) {
    const { outcome, json } = await probe(origin, '/events/lost')
    const lost = LostViews.safeParse(json).data
    if (!lost && outcome === 'response') {
      yield warn('log', `${origin} does not say whether the log lost views: see GET /events/lost of reporting`)
    }
    if (!lost?.views) continue
    const gaps = lost.gaps.slice(-MAX_GAPS).map(({ producer, from, to }) => `${from} to ${to} of ${producer}`)
    const text = `it lost ${plural(lost.views, 'acknowledged view')}: ${gaps.join(', ')}`
    yield fail('log', `${text}; repair the storage of NATS, and see GET /events/lost of reporting`)
  }
}

/** Reads the lag from the metrics of queue-listener: embedded mode has no other source. */
export async function* checkMetrics([listener = '']: string[]): AsyncGenerator<Finding> {
  yield* diagnoseDeadLetters(toMetric(await probe(listener, '/metrics'), 'dead_letters'), '')
  const lag = await sampleTwice(async () => {
    const metrics = await probe(listener, '/metrics')
    const read = (name: string) => toMetric(metrics, `event_log_${name}`)
    const missing = read('missing_messages')
    return { backlog: read('lag_messages'), seconds: read('lag_seconds'), position: String(read('position')), missing }
  })
  yield* diagnoseCounting(lag)
}

/**
 * The number of uncounted messages, the age of the oldest in seconds, the position as an opaque string, and the number of
 * uncounted messages that the log no longer has.
 */
export type Lag = { backlog: number; seconds: number; position: string; missing?: number } & Ends
/** The position up to which reporting has counted, and the end of the log. */
type Ends = { counted?: LogPosition | undefined; end?: LogPosition | undefined }

/** Checks that reporting counts this log, and that it counts views as fast as the log grows. */
export function* diagnoseCounting({ first, second = first }: Samples<Lag>): Generator<Finding> {
  const { counted, end } = first
  const { missing = 0 } = second
  if (missing > 0) {
    const fix = 'restore a backup of the counts, or accept the loss with npm run counts -- accept-loss'
    return yield fail('counting', `the log no longer has ${plural(missing, 'message')} that are not counted: ${fix}`)
  }
  if (counted && counted.incarnation === end?.incarnation && counted.sequence > end.sequence) {
    const text = `the log ends at ${end.sequence}, but reporting has counted up to ${counted.sequence}`
    const cause =
      'it lost messages, or was restored from a backup; stop reporting, restore the counts of that time, or move its checkpoint out of DATA_DIR (with Postgres: drop the schema reporting), and restart reporting, which then replays the log'
    return yield fail('counting', `${text}: ${cause}`)
  }
  if (second.backlog === 0) return yield ok('counting', 'all messages in the log are counted')
  if (Number.isNaN(second.backlog)) return
  const lag = `${plural(second.backlog, 'message')} not counted yet, the oldest for ${Math.round(second.seconds)} s`
  const isStuck = first.position === second.position && second.seconds > STUCK_S
  const listener = 'check the log of queue-listener; its WRITE_TOKEN may be missing or wrong'
  const capacity = 'see docs/performance.md for the capacity of reporting'
  if (!isStuck && second.seconds <= LATE_S) yield ok('counting', lag)
  else if (!isStuck && second.backlog < first.backlog)
    yield warn('counting', `${lag}, but the backlog is shrinking: wait`)
  else if (isStuck) yield fail('counting', `${lag}, without progress: ${listener}`)
  else yield fail('counting', `${lag}, and the backlog is not shrinking: ${capacity}`)
}
