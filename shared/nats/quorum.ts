import { type ClusterInfo, millis, type PeerInfo } from 'nats'

export type { PeerInfo, StreamInfo } from 'nats'

/** A leader hears from each of its replicas at least every second, but steps down only after 10 s of silence. */
const SILENT_MS = 2_000

/** A stream or bucket has no leader. Its servers respond, but cannot report its last sequence or its size. */
export class NoLeaderError extends Error {
  override name = 'NoLeaderError'
}

/** A stream's state. A standalone server reports no cluster info. */
type Clustered = { cluster?: ClusterInfo | undefined }

/** @throws NoLeaderError */
export function assertLed<Info extends Clustered>(info: Info, what: string): Info {
  if (info.cluster && !info.cluster.leader) throw new NoLeaderError(`${what} has no leader`)
  return info
}

/** The number of replicas that respond to the leader, including the leader itself. */
export function countOnline({ cluster }: Clustered): number {
  if (!cluster) return 1
  return cluster.leader ? 1 + (cluster.replicas ?? []).filter(isOnline).length : 0
}

/**
 * Why a stream or bucket cannot store messages; undefined if it can. A leader that has lost its quorum still responds
 * to everything except appends.
 */
export function describeOutage({ cluster }: Clustered, what: string): string | undefined {
  if (!cluster) return undefined
  if (!cluster.leader) return `${what} has no leader`
  const online = countOnline({ cluster })
  const all = 1 + (cluster.replicas ?? []).length
  if (online > all / 2) return undefined
  return `the leader of ${what} has no majority: ${online} of ${all} replicas respond`
}

/** A new leader reports a replica that has not contacted it yet as seen 0 ns ago and not current. */
export function isOnline({ active, current, offline }: PeerInfo): boolean {
  return !offline && millis(active) < SILENT_MS && (active > 0 || current)
}
