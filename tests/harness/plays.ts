import { isDeepStrictEqual } from 'node:util'
import { eventually } from './eventually.ts'

/** Plays an asset. Returns the status and the parsed body of the response. */
export async function play(edge: string, assetId: string, userId: string) {
  const response = await fetch(`${edge}/play/asset/${assetId}/user/${userId}`, { method: 'POST' })
  return { status: response.status, body: await response.json() }
}

/**
 * Plays until the response is a 200 in which exactly the services in `degraded` are degraded. Right after startup, an
 * edge may not be connected to its upstreams and NATS yet.
 */
export async function warmUp(edge: string, degraded?: string[]): Promise<void> {
  await eventually(async () => {
    const { status, body } = await play(edge, '456', 'warm')
    const isExpected = status === 200 && isDeepStrictEqual((body as { degraded?: string[] }).degraded, degraded)
    if (!isExpected) throw new Error(`a play returned ${status} ${JSON.stringify(body)}`)
  })
}

/**
 * Returns the number of views that reporting has counted for an asset or a user.
 * @param token READ_TOKEN, if reporting requires it
 * @throws Error while the counts are behind the log
 */
export async function views(reporting: string, by: 'asset' | 'user', id: string, token?: string): Promise<number> {
  const response = await fetch(`${reporting}/events/${by}/${id}`, { headers: toBearer(token) })
  if (response.status === 503) throw new Error('the counts are behind the log')
  const { views = 0 } = (await response.json()) as { views?: number }
  return views
}

export async function getJson(url: string, token?: string): Promise<unknown> {
  const response = await fetch(url, { headers: toBearer(token) })
  return response.json()
}

export function toBearer(token: string | undefined): Record<string, string> {
  return token === undefined ? {} : { authorization: `Bearer ${token}` }
}

/** The sum of all matching samples in `/metrics`. */
export async function metric(service: string, line: RegExp): Promise<number> {
  const text = await (await fetch(`${service}/metrics`)).text()
  const values = text.split('\n').filter((sample) => line.test(sample))
  return values.reduce((sum, sample) => sum + Number(sample.split(' ').at(-1)), 0)
}
