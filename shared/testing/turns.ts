import { setImmediate as turn } from 'node:timers/promises'

/** Waits until open batches have closed: they wait for further items for fewer turns of the event loop. */
export async function turns(): Promise<void> {
  for (let n = 0; n < 8; n += 1) await turn()
}
