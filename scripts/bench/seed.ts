import { postAsset } from '../../tests/harness/assets.ts'
import type { Services } from '../../tests/harness/embedded.ts'
import { ASSETS } from './load.ts'

/** Adds the assets that the load generator plays. */
export async function seed(services: Pick<Services, 'metadata' | 'cdnurl'>): Promise<void> {
  const summary = 'A summary of one or two sentences, about as long as the summary of a film usually is.'
  for (let n = 0; n < ASSETS; n += 1) {
    const id = `bench-${n}`
    const url = `https://cdn.example.com/${id}.mp4`
    await postAsset(services, { id, title: 'A title of usual length', summary, url })
  }
}
