import type { JetStreamManager, StreamInfo } from 'nats'
import type { DependencyState } from '../contracts/readiness.ts'
import { openJetStreamManager, toStreamReason } from '../nats/jetstream.ts'
import { NatsDownError, type NatsLink } from '../nats/link.ts'
import { describeOutage } from '../nats/quorum.ts'
import { findStream, LOG } from './stream.ts'

/** How often to check that the stream has a leader with a quorum. */
const PROBE_MS = 1_000
/** Together with PROBE_MS, short enough to detect the loss of a leader within 3 s. */
const PROBE_TIMEOUT_MS = 1_500

/**
 * A successful probe clears failures that are older than this. A failed append is normally retried much sooner, so an
 * older failure is obsolete.
 */
const FORGET_MS = 5_000

/** The state of the log, derived from the outcomes of appends and reads, and from the stream's state. */
export type LogHealth = AsyncDisposable & {
  state: () => DependencyState
  /** Why the log is not up. */
  reason: () => string | undefined
  /** Awaits an append, and records its outcome. */
  observe<Result>(work: Promise<Result>): Promise<Result>
  /** Awaits a read, and records its outcome. A read does not prove that the log accepts appends. */
  observeRead<Result>(work: Promise<Result>): Promise<Result>
  /** Records a successful read. */
  noteRead(): void
}

/** Called about once a second while connected: `onStream` if the stream exists, `onFailure` if the check fails. */
type Observer = { onStream(stream: StreamInfo, jsm: JetStreamManager): void; onFailure(): void }

export function createLogHealth(nats: NatsLink, observer: Observer): LogHealth {
  let notedAt = 0
  /** The time of the last successful append, or of the start of the last probe, whichever is later. */
  let checkedAt = 0
  /** The connection over which an append or a probe last succeeded. */
  let proven: AbortSignal | undefined
  let failure: string | undefined
  let probeFailure: string | undefined

  function noteAppend(): void {
    notedAt = performance.now()
    checkedAt = notedAt
    failure = undefined
    probeFailure = undefined
    proven = nats.down()
  }

  function noteRead(): void {
    notedAt = performance.now()
    failure = undefined
  }

  function noteFailure(error: unknown): void {
    // Ignore this error, because the link itself reports when NATS goes down and comes back.
    if (error instanceof NatsDownError) return
    notedAt = performance.now()
    failure = toStreamReason(error, LOG, nats)
  }

  async function observe<Result>(work: Promise<Result>, onSuccess: () => void): Promise<Result> {
    try {
      const result = await work
      onSuccess()
      return result
    } catch (error) {
      noteFailure(error)
      throw error
    }
  }

  /** @returns why the stream does not accept appends, or undefined if it accepts them */
  async function check(): Promise<string | undefined> {
    try {
      const jsm = await openJetStreamManager(nats, PROBE_TIMEOUT_MS)
      const stream = await findStream(jsm)
      if (!stream) return undefined
      observer.onStream(stream, jsm)
      return describeOutage(stream, LOG)
    } catch (error) {
      observer.onFailure()
      return toStreamReason(error, LOG, nats)
    }
  }

  async function probe(): Promise<void> {
    if (nats.state() !== 'up') return
    const connection = nats.down()
    const startedAt = performance.now()
    const outage = await check()
    // An append that succeeded in the meantime, or a probe that started later, is better evidence than this probe.
    if (connection !== nats.down() || checkedAt > startedAt) return
    checkedAt = startedAt
    probeFailure = outage
    if (outage !== undefined) return
    proven = connection
    if (performance.now() - notedAt > FORGET_MS) failure = undefined
  }

  const timer = setInterval(() => void probe(), PROBE_MS).unref()
  nats.onUp(() => void probe())
  const unproven = () => (proven === nats.down() ? undefined : 'not verified yet')
  const reason = () => nats.reason() ?? failure ?? probeFailure ?? unproven()
  return {
    state: () => (nats.state() === 'up' && reason() === undefined ? 'up' : 'down'),
    reason,
    noteRead,
    observe: (work) => observe(work, noteAppend),
    observeRead: (work) => observe(work, noteRead),
    async [Symbol.asyncDispose]() {
      clearInterval(timer)
    },
  }
}
