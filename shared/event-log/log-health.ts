import type { DependencyState } from '../contracts/readiness.ts'
import { openJetStreamManager, toJetStreamReason } from '../nats/jetstream.ts'
import { NatsDownError, type NatsLink } from '../nats/link.ts'
import { findStream } from './stream.ts'

/** How often to check that JetStream responds while there are no appends or pulls. */
const PROBE_MS = 1_000

/** A failure this long ago is dropped once a probe succeeds. A failed append is normally retried much sooner. */
const FORGET_MS = 5_000

/** The state of the log, derived from the outcomes of appends and pulls. */
export type LogHealth = AsyncDisposable & {
  state: () => DependencyState
  /** Why the log is not up. */
  reason: () => string | undefined
  /** Notes the outcome of an append or a pull: the error, or undefined on success. */
  note(error?: unknown): void
  /** Runs `work`, notes its outcome, and returns its result. */
  observe<Result>(work: Promise<Result>): Promise<Result>
}

export function createLogHealth(nats: NatsLink): LogHealth {
  let notedAt = 0
  /** The connection over which an append, pull or probe has succeeded. */
  let proven: AbortSignal | undefined
  let failure: string | undefined
  let probeFailure: string | undefined

  function note(error?: unknown): void {
    // The link itself reports when NATS goes down and comes back.
    if (error instanceof NatsDownError) return
    notedAt = performance.now()
    failure = error === undefined ? undefined : toJetStreamReason(error)
    if (error !== undefined) return
    proven = nats.down()
    probeFailure = undefined
  }

  async function probe(): Promise<void> {
    const idleMs = performance.now() - notedAt
    const connection = nats.down()
    if (nats.state() !== 'up' || (idleMs < PROBE_MS && proven === connection)) return
    try {
      await findStream(await openJetStreamManager(nats))
      proven = connection
      probeFailure = undefined
      if (idleMs > FORGET_MS) failure = undefined
    } catch (error) {
      probeFailure = toJetStreamReason(error)
    }
  }

  const timer = setInterval(() => void probe(), PROBE_MS).unref()
  nats.onUp(() => void probe())
  const unproven = () => (proven === nats.down() ? undefined : 'not verified yet')
  const reason = () => nats.reason() ?? failure ?? probeFailure ?? unproven()
  return {
    state: () => (nats.state() === 'up' && reason() === undefined ? 'up' : 'down'),
    reason,
    note,
    async observe(work) {
      try {
        const result = await work
        note()
        return result
      } catch (error) {
        note(error)
        throw error
      }
    },
    async [Symbol.asyncDispose]() {
      clearInterval(timer)
    },
  }
}
