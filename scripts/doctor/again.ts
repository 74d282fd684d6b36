import { setTimeout as sleep } from 'node:timers/promises'

const BETWEEN_MS = 1_000

/** Two looks at the same thing, a second apart; the second only where the first one has left a question. */
export type Looks<Look> = { first: Look; second: Look | undefined }

export async function lookTwice<Look>(
  look: () => Promise<Look>,
  isOpen: (first: Look) => boolean,
): Promise<Looks<Look>> {
  const first = await look()
  if (!isOpen(first)) return { first, second: undefined }
  await sleep(BETWEEN_MS)
  return { first, second: await look() }
}
