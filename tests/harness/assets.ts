import { jsonRequest } from '../../shared/testing/json-request.ts'
import type { Services } from './embedded.ts'
import { eventually } from './eventually.ts'

export type Asset = {
  id: string
  title: string
  genre?: string
  summary?: string
  url?: string
  rights?: object
  duration?: number
}

/** Creates an asset, with a URL if one is given. */
export async function postAsset({ metadata, cdnurl }: Pick<Services, 'metadata' | 'cdnurl'>, asset: Asset) {
  const { id, url, title, genre = 'drama', summary = '', rights, duration } = asset
  if (url) await post(`${cdnurl.url}/url/asset/${id}`, { url })
  await post(`${metadata.url}/content/asset/${id}`, { title, genre, summary, rights, duration })
}

/** Retries, because right after startup metadata and cdnurl may not be connected to NATS yet. */
async function post(url: string, body: unknown): Promise<void> {
  await eventually(async () => {
    const { status } = await fetch(url, jsonRequest(body))
    if (status !== 200) throw new Error(`${url} returned ${status}`)
  })
}
