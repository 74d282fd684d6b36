import type { Logger } from '../../shared/runtime/log.ts'
import { sleep } from '../../shared/runtime/sleep.ts'
import { createTransitionLog } from '../../shared/runtime/transition-log.ts'
import { encodeCheckpoint } from './checkpoint-encoder.ts'
import type { CheckpointFile } from './checkpoint-file.ts'
import type { CountState } from './count-state.ts'
import { freezeState } from './frozen-state.ts'

/**
 * The pause after a write is at least this many times as long as the write, so writes take at most a twentieth of the
 * time.
 */
const MIN_PAUSE = 20

/** A Node timer's longest delay. */
const MAX_WAIT_MS = 2 ** 31 - 1

/** Timeout for the last write. It leaves time for in-flight requests within a graceful shutdown's limit. */
const SHUTDOWN_MS = 4_000

/** The outcome of the writes, for the metrics. */
export type CheckpointStatus = {
  /** How old the checkpoint is, in milliseconds; 0 if it contains all counted views. */
  ageMs: number
  /** True if the last attempt to write failed, or the file is read-only. */
  isFailing: boolean
  /** The last successful write by this process. */
  last: { bytes: number; durationMs: number } | undefined
}

export type Checkpoints = AsyncDisposable & { status(): CheckpointStatus }

type Options = { file: Pick<CheckpointFile, 'write' | 'isReadOnly'>; state: CountState; everyMs: number; log: Logger }

/**
 * Every `everyMs`, and once more when disposed, writes the state to the file if it has changed. Failed writes are
 * retried.
 */
export function startCheckpoints({ file, state, everyMs, log }: Options): Checkpoints {
  const shutdown = new AbortController()
  const logOutcome = createTransitionLog(log, {
    failing: 'cannot write the checkpoint; the previous one remains',
    recovered: 'checkpoints are written again',
  })
  let saved = { changes: state.changes, at: performance.now() }
  let isFailing = false
  let last: CheckpointStatus['last']

  async function write(signal: AbortSignal): Promise<void> {
    const { changes } = state
    const at = performance.now()
    await using frozen = freezeState(state)
    const bytes = await file.write(encodeCheckpoint(frozen), signal)
    saved = { changes, at }
    last = { bytes, durationMs: performance.now() - at }
  }

  async function writeIfChanged(signal: AbortSignal): Promise<void> {
    if (state.changes === saved.changes || file.isReadOnly()) return
    try {
      await write(signal)
      isFailing = false
      logOutcome()
    } catch (error) {
      if (shutdown.signal.aborted && signal === shutdown.signal) return
      isFailing = true
      logOutcome(error)
    }
  }

  async function run(): Promise<void> {
    for (let waitMs = everyMs; ; ) {
      await sleep(Math.min(waitMs, MAX_WAIT_MS), shutdown.signal)
      if (shutdown.signal.aborted) return
      const startedAt = performance.now()
      await writeIfChanged(shutdown.signal)
      waitMs = Math.max(everyMs, MIN_PAUSE * (performance.now() - startedAt))
    }
  }

  const running = run()
  return {
    status: () => ({
      ageMs: state.changes === saved.changes ? 0 : performance.now() - saved.at,
      isFailing: isFailing || file.isReadOnly(),
      last,
    }),
    async [Symbol.asyncDispose]() {
      shutdown.abort()
      await running
      await writeIfChanged(AbortSignal.timeout(SHUTDOWN_MS))
    },
  }
}
