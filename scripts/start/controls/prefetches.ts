import { Pool } from 'undici'

const CONNECTIONS = 16
const TIMEOUT_MS = 10_000

/** The outcome of a flood of prefetches. */
export type Prefetches = { sent: number; answered: number; views: number }

/**
 * Sends prefetches of one asset for one user. A page cannot send prefetches itself, because only the browser may set
 * `Sec-Purpose`.
 */
export async function sendPrefetches(
  edge: string,
  { asset, user, count }: { asset: string; user: string; count: number },
): Promise<Prefetches> {
  await using stack = new AsyncDisposableStack()
  const pool = new Pool(edge, { connections: CONNECTIONS })
  stack.defer(() => pool.destroy())
  const signal = AbortSignal.timeout(TIMEOUT_MS)
  const path = `/play/asset/${asset}/user/${user}`
  const sent = Array.from({ length: count }, async () => {
    const { statusCode, headers, body } = await pool.request({
      method: 'POST',
      path,
      headers: { 'sec-purpose': 'prefetch' },
      signal,
    })
    await body.dump()
    return { isAnswered: statusCode === 200, isView: headers['view-id'] !== undefined }
  })
  const settled = (await Promise.allSettled(sent)).flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []))
  return {
    sent: count,
    answered: settled.filter(({ isAnswered }) => isAnswered).length,
    views: settled.filter(({ isView }) => isView).length,
  }
}
