import { setImmediate as turn } from 'node:timers/promises'

/** Waits until open batches have closed. A batch stays open for fewer turns of the event loop than this waits. */
export async function turns(): Promise<void> {
  for (let n = 0; n < 8; n += 1) await turn()
}
