import { Position, toLogPosition } from '../../shared/contracts/position.ts'
import {
  readBacklog,
  readDeadLetterStatus,
  readStreamStatus,
  type StreamStatus,
} from '../../shared/event-log/stream-status.ts'
import { connectToNats, withoutCredentials } from '../../shared/nats/connect.ts'
import { isWithoutJetStream, type JetStreamManager, openJetStreamManager } from '../../shared/nats/jetstream.ts'
import { toReason } from '../../shared/runtime/reason.ts'
import { about, type Finding, plural } from './finding.ts'
import { probe, type Samples, sampleTwice, toJson, toMetric } from './probe.ts'

/** An older uncounted message is stuck: by then, an interrupted batch has been retried. */
const STUCK_S = 3
const LATE_S = 10

type Options = { servers: string[]; maxAgeMs: number | undefined; reporting: string[] }

/** Checks NATS, the log, and how far reporting has counted it. Read-only. */
export async function* checkNats({ servers, maxAgeMs, reporting }: Options): AsyncGenerator<Finding> {
  const { ok, fail } = about('nats')
  try {
    using stack = new DisposableStack()
    const connection = await connectToNats({ servers, name: 'doctor', timeoutMs: 1_000 })
    stack.defer(() => void connection.close())
    const jsm = await openJetStreamManager({ connection: () => connection })
    const stream = await readStreamStatus(jsm)
    yield ok(`${connection.getServer()} (nats-server ${connection.info?.version}) is up`)
    if (!stream) return yield about('log').ok('the stream EVENTS does not exist yet: nothing has been played')
    yield* diagnoseStream(stream, maxAgeMs)
    const { count, lastReason = 'unknown' } = await readDeadLetterStatus({ connection: () => connection })
    yield* diagnoseDeadLetters(count, ` in events.rejected, the last one because: ${lastReason}`)
    const progress = await sampleTwice(() => readProgress(jsm, reporting)).catch(() => undefined)
    if (progress) yield* diagnoseProgress(progress)
  } catch (error) {
    const names = servers.map(withoutCredentials).join(',')
    yield fail(`${names} ${diagnoseError(error)}; until then, views go to the outbox of play`)
  }
}

function diagnoseError(error: unknown): string {
  const reason = toReason(error)
  if (isWithoutJetStream(error))
    return 'does not have JetStream enabled: start it with --jetstream, or enable it for this account'
  if (/authorization|authentication/i.test(reason)) return 'rejects the credentials: fix NATS_URL'
  return `is unreachable (${reason}): start it, or fix NATS_URL`
}

function* diagnoseStream(stream: StreamStatus, wantedMs: number | undefined): Generator<Finding> {
  const { ok, warn } = about('log')
  const toDuration = (milliseconds: number) => Temporal.Duration.from({ milliseconds }).round({ largestUnit: 'days' })
  const toRetention = (ms: number | undefined) => (ms ? `for ${toDuration(ms).toLocaleString('en')}` : 'forever')
  const size = `${(stream.bytes / 1e3).toLocaleString('en', { maximumFractionDigits: 1 })} kB`
  const since = stream.since ? ` since ${stream.since.toISOString().slice(0, 19)}Z` : ''
  const text = `stream EVENTS: ${plural(stream.messages, 'message')}, ${size}${since}, kept ${toRetention(stream.maxAgeMs)}`
  if (wantedMs === undefined || wantedMs === stream.maxAgeMs) yield ok(text)
  else yield warn(`${text}, not ${toRetention(wantedMs)}: restart play and queue-listener with this EVENTS_MAX_AGE`)
}

function* diagnoseDeadLetters(count: number, where: string): Generator<Finding> {
  const fix = 'fix its producer; then npm run dead-letters shows, replays and deletes what is not counted'
  if (count > 0) yield about('log').warn(`${plural(count, 'dead letter')}${where}: ${fix}`)
}

/** @throws if reporting does not respond */
async function readProgress(jsm: JetStreamManager, reporting: string[]) {
  const probes = reporting.map((origin) => probe(origin, '/events/position', 1_000))
  const position = await Promise.any(probes.map(async (response) => Position.nullable().parse(toJson(await response))))
  const counted = position ? toLogPosition(position) : undefined
  // Read after the position, because otherwise a growing log could appear to end before it.
  const end = (await readStreamStatus(jsm))?.end
  const { messages: backlog, since = new Date() } = await readBacklog(jsm, counted)
  const seconds = (Date.now() - since.getTime()) / 1_000
  return { backlog, seconds, position: JSON.stringify(position), counted, end }
}

function* diagnoseProgress(progress: Samples<Awaited<ReturnType<typeof readProgress>>>): Generator<Finding> {
  const { fail } = about('counting')
  const { counted, end } = progress.first
  if (counted && counted.incarnation === end?.incarnation && counted.sequence > end.sequence) {
    const text = `the log ends at ${end.sequence}, but reporting has counted up to ${counted.sequence}`
    return yield fail(
      `${text}: it lost messages, or was restored from a backup; restart reporting, which then replays the log`,
    )
  }
  // An incarnation is named by its creation time.
  const isOlder = counted && end && Date.parse(counted.incarnation) > Date.parse(end.incarnation)
  for (const finding of diagnoseCounting(progress)) {
    const isRejected = isOlder && finding.severity === 'FAIL'
    yield isRejected ? fail('reporting has counted a newer log and rejects this one: restart reporting') : finding
  }
}

/** Reads the lag from the metrics of queue-listener: embedded mode has no other source. */
export async function* checkMetrics([listener = '']: string[]): AsyncGenerator<Finding> {
  yield* diagnoseDeadLetters(toMetric(await probe(listener, '/metrics'), 'dead_letters'), '')
  const samples = await sampleTwice(async () => {
    const metrics = await probe(listener, '/metrics')
    const read = (name: string) => toMetric(metrics, `event_log_${name}`)
    return { backlog: read('lag_messages'), seconds: read('lag_seconds'), position: String(read('position')) }
  })
  yield* diagnoseCounting(samples)
}

/** The number of uncounted messages, the age of the oldest in seconds, and the position as an opaque string. */
export type Lag = { backlog: number; seconds: number; position: string }

/** Checks that views are counted as fast as the log grows. */
export function* diagnoseCounting({ first, second }: Samples<Lag>): Generator<Finding> {
  const { ok, warn, fail } = about('counting')
  if (first.backlog === 0 || second?.backlog === 0) return yield ok('all messages in the log are counted')
  if (!second || Number.isNaN(second.backlog)) return
  const lag = `${plural(second.backlog, 'message')} not counted yet, the oldest for ${Math.round(second.seconds)} s`
  if (first.position === second.position && second.seconds > STUCK_S) {
    yield fail(`${lag}, without progress: check the log of queue-listener; its WRITE_TOKEN may be missing or wrong`)
  } else if (second.seconds <= LATE_S) yield ok(lag)
  else if (second.backlog < first.backlog) yield warn(`${lag}, but the backlog is shrinking: wait`)
  else yield fail(`${lag}, and the backlog is not shrinking: see docs/performance.md for the capacity of reporting`)
}
