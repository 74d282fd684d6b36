import type { KV, KvEntry, StreamInfo } from 'nats'
import { assertLed } from '../nats/quorum.ts'
import { raceAbort } from '../runtime/race-abort.ts'
import { sleep } from '../runtime/sleep.ts'
import { BUCKET } from './kv-bucket.ts'

/** How often to check that the bucket still exists and that the watch receives its updates. */
const CHECK_MS = 1_000

type Watch = {
  kv: KV
  /** When the bucket was created, as the server formats it. */
  created: string
  /** The bucket's last revision before the watch started. */
  end: number
  signal: AbortSignal
  apply(update: KvEntry): void
  /** Called once all initial values are applied. */
  onLoaded(): void
  /** Called after each successful check. */
  onChecked(info: StreamInfo): Promise<void>
}

/**
 * Applies a bucket's values, then its updates.
 * @throws if `signal` aborts, the bucket no longer exists, or its updates stop arriving
 */
export async function watchBucket({ kv, created, end, signal, apply, onLoaded, onChecked }: Watch): Promise<void> {
  const updates = await raceAbort(kv.watch(), signal)
  const stop = new AbortController()
  const stopped = AbortSignal.any([signal, stop.signal])
  /** The last revision received. */
  let received = 0
  let isLoaded = false
  try {
    await raceAbort(Promise.race([applyAll(), check()]), signal)
  } finally {
    stop.abort()
    updates.stop()
  }

  async function applyAll(): Promise<void> {
    for await (const update of updates) {
      if (stopped.aborted) return
      received = Math.max(received, update.revision)
      apply(update)
      // Normally, the last initial value has delta 0. If values are written while the watch starts, nats-server 2.9 may
      // overstate the delta of every update. There is always at least one value: the INITIALIZED key.
      if (isLoaded || (update.delta !== 0 && received < end)) continue
      isLoaded = true
      // Count purged revisions as received: the watch never delivers them, and the last revision may be one of them.
      received = Math.max(received, end)
      onLoaded()
    }
  }

  async function check(): Promise<void> {
    let before = { end: 0, received: 0 }
    for (;;) {
      await sleep(CHECK_MS, stopped)
      if (stopped.aborted) return
      // Skip the check while initial values arrive, because its response would queue behind them.
      const isLoading = !isLoaded && received > before.received
      const info = isLoading ? undefined : (await kv.status()).streamInfo
      const last = info ? readEnd(info) : before.end
      if (received < before.end && received === before.received) throw new Error('updates are not received')
      before = { end: last, received }
      if (info) await onChecked(info)
    }
  }

  function readEnd(info: StreamInfo): number {
    const { created: current, state } = assertLed(info, BUCKET)
    if (current !== created || state.messages === 0) throw new Error('the bucket was deleted')
    return state.last_seq
  }
}
