import { setImmediate as turn } from 'node:timers/promises'

/** Waits until open batches have closed: a batch waits for further items for fewer turns than this. */
export async function turns(): Promise<void> {
  for (let n = 0; n < 8; n += 1) await turn()
}
