import { setTimeout as sleep } from 'node:timers/promises'
import { Agent, request } from 'undici'

type Steady = { perSecond: number; seconds: number; clientOf: (n: number) => string }

/** Sends plays at a steady rate (open loop), each from a client behind a proxy. Returns the durations, by status. */
export async function playSteadily(url: string, { perSecond, seconds, clientOf }: Steady) {
  const dispatcher = new Agent({ connections: 64 })
  const durations = new Map<number, number[]>()
  async function timePlay(client: string): Promise<void> {
    const sentAt = performance.now()
    const headers = { 'x-forwarded-for': client }
    const { statusCode, body } = await request(url, { method: 'POST', headers, dispatcher })
    await body.dump()
    const same = durations.get(statusCode) ?? []
    same.push(performance.now() - sentAt)
    durations.set(statusCode, same)
  }

  const startedAt = performance.now()
  const plays: Promise<void>[] = []
  for (let n = 0; n < perSecond * seconds; n += 1) {
    const waitMs = startedAt + (n * 1_000) / perSecond - performance.now()
    if (waitMs > 0) await sleep(waitMs)
    plays.push(timePlay(clientOf(n)))
  }
  await Promise.all(plays)
  await dispatcher.close()
  return durations
}
