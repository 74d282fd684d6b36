import { type JetStreamManager, StoreCompression, type StreamConfig, type StreamInfo } from 'nats'
import type { Logger } from '../runtime/log.ts'
import { isTemporary, toJetStreamReason } from './jetstream.ts'
import type { NatsLink } from './link.ts'
import { isAtLeast, REPLICATING_VERSION } from './server-version.ts'

/** How long to wait before retrying a change that the server refused. Other servers may join the cluster by then. */
const RETRY_MS = 10_000

export type ReplicationSettings = {
  /**
   * The value of EVENTS_REPLICAS. If undefined, a new stream has one replica, and an existing stream keeps its
   * number of replicas.
   */
  replicas?: number | undefined
  /** If true, existing streams are changed too. Only one service may be the owner. */
  isOwner?: boolean
}

type Deps = ReplicationSettings & {
  nats: Pick<NatsLink, 'connection' | 'state'>
  log: Logger
  /** The name of the stream or bucket in human-readable messages. */
  name: string
  isCompressed?: boolean
}

type Wanted = Partial<Pick<StreamConfig, 'num_replicas' | 'compression'>>

export type Replication = {
  /** Creates a stream with the configured number of replicas, or with one if the server refuses that number. */
  create<Result>(add: (wanted: Wanted) => Promise<Result>): Promise<Result>
  /** Call this about once a second with the stream's state. The owner applies its settings to the stream once. */
  check(jsm: JetStreamManager, info: StreamInfo): Promise<void>
  /** A problem with the replicas and how to fix it, in one line. */
  problem(): string | undefined
}

/**
 * Sets a stream's number of replicas and its compression. An instance changes a stream once, so that two instances with
 * different settings do not change it back and forth. The instance that starts last wins, and the other instance
 * reports the difference.
 */
export function createReplication(deps: Deps): Replication {
  const { nats, log, name, replicas, isOwner = false, isCompressed = false } = deps
  /** The stream's creation time, once a second check has confirmed that the settings took effect. */
  let settled: string | undefined
  let applied: string | undefined
  let isChanging = false
  let retryAt = 0
  let refusal: string | undefined
  let problem: string | undefined

  let version = '0'
  const isModern = () => isAtLeast(version, REPLICATING_VERSION)
  const allowed = () => (isModern() || replicas === 1 ? replicas : undefined)

  function differences({ num_replicas, compression }: StreamConfig): Wanted[] {
    const wanted = allowed()
    return [
      isCompressed && isModern() && compression !== StoreCompression.S2 && { compression: StoreCompression.S2 },
      wanted !== undefined && num_replicas !== wanted && { num_replicas: wanted },
    ].filter((difference) => difference !== false)
  }

  function readVersion(): void {
    version = nats.connection().info?.version ?? version
  }

  /** @returns true if the server has accepted the settings */
  async function apply(jsm: JetStreamManager, { config, created }: StreamInfo): Promise<boolean> {
    isChanging = true
    try {
      for (const difference of differences(config)) await jsm.streams.update(config.name, difference)
      // A concurrent update may undo this one, so the stream is settled only after a second check.
      if (applied === created) settled = created
      applied = created
      refusal = undefined
      return true
    } catch (error) {
      retryAt = performance.now() + RETRY_MS
      if (!isTemporary(error)) refusal = toJetStreamReason(error)
      return false
    } finally {
      isChanging = false
    }
  }

  function diagnose({ num_replicas: actual }: StreamConfig): string | undefined {
    const upgrade = `upgrade every server to ${REPLICATING_VERSION} or later`
    const server = `nats-server ${version}`
    if (!isModern() && actual > 1)
      return `${name} has ${actual} replicas, but with ${server} it may lose what it acknowledged: ${upgrade}, or set EVENTS_REPLICAS=1`
    if (replicas === undefined || replicas === actual) return undefined
    const difference = `EVENTS_REPLICAS is ${replicas}, but ${name} has ${toCount(actual)}`
    if (allowed() === undefined) return `${difference}, because ${server} does not replicate safely: ${upgrade}`
    if (refusal) return `${difference}: ${refusal}; start ${replicas} servers as one cluster`
    return `${difference}: set the same EVENTS_REPLICAS for all services, and restart the owner of ${name}`
  }

  function report(found: string | undefined): void {
    if (found !== undefined && found !== problem && (isOwner || !isModern())) log.error(found)
    if (found === undefined && problem !== undefined) log.info(`${name} has the configured number of replicas`)
    problem = found
  }

  return {
    async create(add) {
      readVersion()
      const compression = isCompressed && isModern() ? { compression: StoreCompression.S2 } : {}
      const wanted = allowed() ?? 1
      try {
        return await add({ ...compression, num_replicas: wanted })
      } catch (error) {
        if (wanted === 1 || isTemporary(error)) throw error
        refusal = toJetStreamReason(error)
        return await add({ ...compression, num_replicas: 1 })
      }
    },
    async check(jsm, info) {
      if (isChanging || nats.state() !== 'up') return
      readVersion()
      const isDue = isOwner && settled !== info.created && performance.now() >= retryAt
      if (!isDue) return report(diagnose(info.config))
      // After a change, wait for the next check, which gets the new configuration.
      if (!(await apply(jsm, info))) report(diagnose(info.config))
    },
    problem: () => problem,
  }
}

function toCount(replicas: number): string {
  return replicas === 1 ? '1 replica' : `${replicas} replicas`
}
