import { services } from '../../services.ts'
import { readDeadLetterStatus, readStreamStatus, type StreamStatus } from '../../shared/event-log/stream-status.ts'
import { connectToNats } from '../../shared/nats/connect.ts'
import { isTemporary, isWithoutJetStream, openJetStreamManager, streamNamed } from '../../shared/nats/jetstream.ts'
import { describeOutage, isOnline, type StreamInfo } from '../../shared/nats/quorum.ts'
import { isAtLeast, REPLICATING_VERSION } from '../../shared/nats/server-version.ts'
import { NatsTlsError } from '../../shared/nats/tls.ts'
import { toReason } from '../../shared/runtime/reason.ts'
import { plural } from '../plural.ts'
import { needsEmbedded } from '../start/plan.ts'
import { diagnoseCounting, readEmbeddedLag, readLag } from './counting.ts'
import { type Finding, findingsAbout } from './finding.ts'
import { sampleTwice, toMetric } from './metrics.ts'
import type { Inspected } from './services.ts'
import type { System } from './system.ts'

const nats = findingsAbout('nats')
const log = findingsAbout('log')

/** What to do if a stream has no leader. */
const START_SERVERS = "start the cluster's other servers; until then, views go to play's outbox"

/** Checks NATS, the log, and how far reporting has counted it. Changes nothing. */
export async function checkLog(system: System): Promise<Finding[]> {
  const checking = Array.fromAsync(checkNats(system))
  if (await system.uses('events')) return Array.fromAsync(checkEmbeddedLog(system))
  // If nothing is running and `npm start` would use embedded mode, NATS is not needed.
  return (await system.isNothingRunning) && needsEmbedded(process.env) ? [] : checking
}

async function* checkNats({ access, settings, originsOf, inspectedOf }: System): AsyncGenerator<Finding> {
  const { EVENTS_MAX_AGE: maxAgeMs, EVENTS_REPLICAS: wanted } = settings
  try {
    using stack = new DisposableStack()
    const connection = await connectToNats({ ...access, name: 'doctor', timeoutMs: 1_000 })
    stack.defer(() => void connection.close())
    const jsm = await openJetStreamManager({ connection: () => connection })
    const { version = 'unknown', cluster } = connection.info ?? {}
    const stream = await readStreamStatus(jsm).catch((error) => {
      if (cluster && isTemporary(error)) return 'no leader' as const
      throw error
    })
    yield nats.ok(`${connection.getServer()} (nats-server ${version}) is up`)
    if (stream === 'no leader') return yield log.fail(`no leader of the stream EVENTS responds: ${START_SERVERS}`)
    if (!stream) return yield log.ok('the stream EVENTS does not exist yet: nothing has been played')
    const sampling = sampleTwice(() => readLag(jsm, originsOf(services.reporting))).catch(() => undefined)
    yield diagnoseStream(stream, maxAgeMs)
    yield* diagnoseReplicas('log', { info: stream.info, version, wanted })
    for (const { name } of [services.metadata, services.cdnurl]) {
      const info = await streamNamed(jsm, `KV_${name}`)
      if (info) yield* diagnoseReplicas(name, { info, version, wanted })
    }
    yield* diagnoseMaxAges(await inspectedOf(services.play), stream)
    const { count, lastReason = 'unknown' } = await readDeadLetterStatus({ connection: () => connection })
    yield* diagnoseDeadLetters(count, ` in events.rejected (reason for the last one: ${lastReason})`)
    const lag = await sampling
    if (lag) yield* diagnoseCounting(lag)
  } catch (error) {
    yield nats.fail(`${access.servers.join(',')} ${diagnoseError(error)}; until then, views go to play's outbox`)
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
  if (wantedMs === undefined || wantedMs === stream.maxAgeMs) return log.ok(text)
  return log.warn(`${text}, not ${toRetention(wantedMs)}: restart queue-listener with this EVENTS_MAX_AGE`)
}

function diagnoseDeadLetters(count: number, where = ''): Finding[] {
  const fix = 'fix its producer; then resolve the dead letters with npm run dead-letters'
  return count > 0 ? [log.warn(`${plural(count, 'dead letter')}${where}: ${fix}`)] : []
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
async function* checkEmbeddedLog({ inspectedOf }: System): AsyncGenerator<Finding> {
  yield log.ok('embedded mode: a file in DATA_DIR, without NATS')
  const [listener] = await inspectedOf(services['queue-listener'])
  if (!listener) return
  yield* diagnoseDeadLetters(toMetric(listener.metrics, 'dead_letters'))
  yield* diagnoseCounting(await sampleTwice(() => readEmbeddedLag(listener.origin)))
}

type Replicated = { info: StreamInfo; version: string; wanted: number | undefined }

/** Checks a stream or bucket. `version` is nats-server's, and `wanted` the value of EVENTS_REPLICAS. */
function* diagnoseReplicas(name: string, { info, version, wanted }: Replicated): Generator<Finding> {
  const { warn, fail } = findingsAbout(name)
  const { name: stream, num_replicas: replicas } = info.config
  const outage = describeOutage(info, stream)
  if (outage) yield fail(`${outage}: ${START_SERVERS}`)
  if (replicas > 1 && !isAtLeast(version, REPLICATING_VERSION)) {
    const text = `${stream} has ${replicas} replicas, but nats-server ${version} may lose acknowledged messages`
    yield fail(`${text}: upgrade every server to ${REPLICATING_VERSION} or later, or set EVENTS_REPLICAS=1`)
  }
  if (wanted !== undefined && replicas < wanted) {
    const restart = 'set EVENTS_REPLICAS for its service too; if it is set, see the log of that service'
    yield warn(`${stream} has ${plural(replicas, 'replica')}, not ${wanted}: ${restart}`)
  }
  const { leader, replicas: peers = [] } = info.cluster ?? {}
  for (const peer of leader ? peers : []) {
    const replica = `the replica of ${stream} on ${peer.name}`
    const lag = plural(peer.lag ?? 0, 'operation')
    if (!isOnline(peer)) yield warn(`${replica} is offline: start that server`)
    else if (!peer.current) yield warn(`${replica} lags by ${lag}: wait until it is current`)
  }
}
