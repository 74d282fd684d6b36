import { setImmediate as turn } from 'node:timers/promises'

/** Waits for more turns of the event loop than a batch stays open, so that open batches have closed. */
export async function turns(): Promise<void> {
  for (let n = 0; n < 8; n += 1) await turn()
}
