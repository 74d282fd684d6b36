import { hasCode, type JetStreamManager, STREAM_NOT_FOUND } from '../../shared/nats/jetstream.ts'
import { describeOutage, isOnline, type PeerInfo, type StreamInfo } from '../../shared/nats/quorum.ts'
import { isAtLeast, REPLICATING_VERSION } from '../../shared/nats/server-version.ts'
import { plural } from '../plural.ts'
import { type Finding, findingsAbout } from './finding.ts'

type Expected = {
  /** The name of the finding. */
  name: string
  /** nats-server's version. */
  version: string
  /** The value of EVENTS_REPLICAS. */
  wanted: number | undefined
}

/** Findings about the replicas of a stream or bucket. */
export function* diagnoseReplication(
  info: Pick<StreamInfo, 'config' | 'cluster'>,
  { name, version, wanted }: Expected,
): Generator<Finding> {
  const { warn, fail } = findingsAbout(name)
  const { config, cluster } = info
  const { name: stream, num_replicas: replicas } = config
  const outage = describeOutage(info, stream)
  if (outage) yield fail(`${outage}: ${START_SERVERS}`)
  if (replicas > 1 && !isAtLeast(version, REPLICATING_VERSION)) {
    const upgrade = `upgrade every server to ${REPLICATING_VERSION} or later, or set EVENTS_REPLICAS=1`
    yield fail(
      `${stream} has ${replicas} replicas, but nats-server ${version} may lose acknowledged messages: ${upgrade}`,
    )
  }
  if (wanted !== undefined && replicas < wanted) {
    const restart = 'set EVENTS_REPLICAS for its service too; if it is set, see the log of that service'
    yield warn(`${stream} has ${plural(replicas, 'replica')}, not ${wanted}: ${restart}`)
  }
  for (const peer of cluster?.leader ? (cluster.replicas ?? []) : []) {
    const problem = describePeer(stream, peer)
    if (problem) yield warn(problem)
  }
}

/** What to do if a stream has no leader. */
export const START_SERVERS = "start the cluster's other servers; until then, views go to play's outbox"

function describePeer(stream: string, peer: PeerInfo): string | undefined {
  const replica = `the replica of ${stream} on ${peer.name}`
  if (!isOnline(peer)) return `${replica} is offline: start that server`
  return peer.current ? undefined : `${replica} lags by ${plural(peer.lag ?? 0, 'operation')}: wait until it is current`
}

/** Findings about these services' buckets. Skips buckets that do not exist yet. */
export async function* checkBuckets(
  jsm: JetStreamManager,
  services: readonly { name: string }[],
  expected: Omit<Expected, 'name'>,
): AsyncGenerator<Finding> {
  for (const { name } of services) {
    const bucket = await findBucket(jsm, name)
    if (bucket) yield* diagnoseReplication(bucket, { ...expected, name })
  }
}

async function findBucket(jsm: JetStreamManager, name: string): Promise<StreamInfo | undefined> {
  try {
    return await jsm.streams.info(`KV_${name}`)
  } catch (error) {
    if (hasCode(error, STREAM_NOT_FOUND)) return undefined
    throw error
  }
}
