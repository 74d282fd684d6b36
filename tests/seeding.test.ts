import { execFile } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { eventually } from './harness/eventually.ts'
import { natsVersion } from './harness/nats-server.ts'
import { getJson, play } from './harness/plays.ts'
import { runningTime } from './harness/running-time.ts'
import { type System, startSystem } from './harness/system.ts'

/** Seeding takes less than a second on two idle cores. With two requests per asset, it took 155 s. */
const SEED_LIMIT_MS = 10_000

type Asset = { id: string; title: string; genre: string; summary: string; url: string }

function assets(count: number, prefix: string): Asset[] {
  return Array.from({ length: count }, (_, n) => ({
    id: `${prefix}-${n}`,
    title: `Title of ${prefix} ${n}`,
    genre: 'drama',
    summary: 'A summary of some length. '.repeat(8),
    url: `films/${prefix}/${n}.mp4`,
  }))
}

const toLines = (all: Asset[]) => all.map((asset) => `${JSON.stringify(asset)}\n`).join('')

describe.skipIf(!natsVersion)('in a running system,', () => {
  let system: System
  let directory: string
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'seeding-'))
    // With this long TTL, only an invalidation can replace a cached asset during the tests.
    system = await startSystem({ CATALOGUE_TTL: '1h' })
    for (const { url } of [system.metadata, system.cdnurl, system.play]) {
      await eventually(async () => expect(await getJson(`${url}/readyz`)).toMatchObject({ status: 'ready' }))
    }
  })
  afterAll(async () => {
    await system?.[Symbol.asyncDispose]()
    await rm(directory, { recursive: true, force: true })
  })

  /** Runs `npm run seed`. @returns its output and duration */
  async function seed(all: Asset[]) {
    const file = join(directory, 'catalogue.jsonl')
    await writeFile(file, toLines(all))
    const { METADATA_URL, CDNURL_URL } = system.env
    const startedAt = runningTime()
    const env = { ...process.env, METADATA_URL, CDNURL_URL, WRITE_TOKEN: '' }
    const { stdout } = await promisify(execFile)('npm', ['run', '--silent', 'seed', '--', file], { env })
    return { stdout, ms: runningTime() - startedAt }
  }

  function bulkWrite(all: Asset[]) {
    const headers = { 'content-type': 'application/x-ndjson' }
    return fetch(`${system.metadata.url}/content/assets`, { method: 'POST', headers, body: toLines(all) })
  }

  test('5,000 assets are seeded in seconds', async () => {
    const many = assets(5_000, 'many')
    const { stdout, ms } = await seed(many)
    expect(stdout).toBe('cdnurl: 5000 assets stored\nmetadata: 5000 assets stored\n')
    expect(ms).toBeLessThan(SEED_LIMIT_MS)
    for (const asset of [many[0], many[2_500], many[4_999]]) {
      const { body } = await play(system.play.url, String(asset?.id), 'viewer')
      expect(body).toMatchObject({ ...asset })
    }
  })

  test('an edge that has cached an asset serves the newly seeded version', async () => {
    const before = assets(20, 'cached')
    await seed(before)
    const played = async () => {
      const plays = before.map(({ id }) => play(system.play.url, id, 'viewer'))
      return (await Promise.all(plays)).map(({ body }) => body)
    }
    expect(await played()).toMatchObject(before)
    const after = before.map((asset) => ({ ...asset, title: 'New', url: 'new.mp4' }))
    await seed(after)
    await eventually(async () => expect(await played()).toMatchObject(after))
  })

  test('two catalogues that are seeded concurrently are both stored', async () => {
    const outputs = await Promise.all([seed(assets(500, 'one')), bulkWrite(assets(500, 'other'))])
    expect(outputs[0].stdout).toContain('metadata: 500 assets stored\n')
    expect(await outputs[1].json()).toEqual({ status: 'ok', stored: 500 })
    for (const id of ['one-0', 'one-499', 'other-0', 'other-499']) {
      expect((await fetch(`${system.metadata.url}/content/asset/${id}`)).status).toBe(200)
    }
  })

  test('when NATS dies midway, the response reports the number of stored assets, and the request can be repeated', async () => {
    const { nats, metadata } = system
    const many = assets(50_000, 'midway')
    const writing = bulkWrite(many)
    await eventually(async () => {
      const response = await fetch(`${metadata.url}/content/asset/midway-0`)
      expect(response.status).toBe(200)
    })
    await nats.signal('SIGKILL')
    const failed = await writing
    const { stored, ...problem } = (await failed.json()) as { stored: number }
    expect({ status: failed.status, problem }).toEqual({
      status: 503,
      problem: { status: 'Service unavailable', requestId: failed.headers.get('x-request-id') },
    })
    expect(failed.headers.get('retry-after')).toBe('1')
    expect(stored).toBeGreaterThan(0)
    expect(stored).toBeLessThan(many.length)

    await nats.start()
    await eventually(async () => {
      const response = await bulkWrite(many.slice(0, 5_000))
      expect(await response.json()).toEqual({ status: 'ok', stored: 5_000 })
    })
    for (let n = 0; n < stored; n += 1_000) {
      expect((await fetch(`${metadata.url}/content/asset/midway-${n}`)).status).toBe(200)
    }
  })
})
