import { setImmediate as turn } from 'node:timers/promises'

/** Waits for more turns of the event loop than a batch stays open, so that every open batch closes. */
export async function turns(): Promise<void> {
  for (let n = 0; n < 8; n += 1) await turn()
}
