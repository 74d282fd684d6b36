import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { eventually } from './harness/eventually.ts'
import { listenLive } from './harness/live-subscriber.ts'
import { getJson, play, views } from './harness/plays.ts'
import { freePortRange } from './harness/ports.ts'
import { type ServiceProcess, startProgram } from './harness/service-process.ts'

describe('embedded mode', { timeout: 30_000 }, () => {
  let folder: string
  let embedded: ServiceProcess
  let urls: Record<string, string>

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'embedded-'))
    embedded = await startProgram('embedded', 'embedded/main.ts', { DATA_DIR: folder }, await freePortRange())
    urls = await addresses()
  })
  afterAll(async () => {
    await embedded?.[Symbol.asyncDispose]()
    await rm(folder, { recursive: true, force: true })
  })

  const expectViews = (user: string, expected: number) =>
    eventually(async () => expect(await views(urls.reporting as string, 'user', user)).toBe(expected))

  test('a play answers with what all services know, and counts', async () => {
    for (const count of [1, 2, 3]) {
      const { status, body } = await play(urls.play as string, '456', 'first')
      expect(status).toBe(200)
      expect(body).toEqual({
        id: '456',
        title: 'Terminator',
        genre: 'action',
        summary: 'Summary for terminator',
        url: 'path/to/asset456.mp4',
        userviews: count,
        assetviews: count,
      })
      await expectViews('first', count)
    }
  })

  test('all five services are ready on ports of their own', async () => {
    expect(Object.keys(urls).toSorted()).toEqual(['cdnurl', 'metadata', 'play', 'queue-listener', 'reporting'])
    for (const url of Object.values(urls)) expect((await fetch(`${url}/readyz`)).status).toBe(200)
  })

  test('the edge and reporting tell how counts change', async () => {
    await using viewer = await listenLive(`${urls.play}/live`)
    await using listener = await listenLive(`${urls.reporting}/events/live`)
    await play(urls.play as string, '123', 'watched')
    for (const { seen } of [viewer, listener]) {
      await eventually(() => expect(seen()?.users).toContainEqual({ id: 'watched', views: 1 }))
    }
  })

  test('the console is there, and every part is up', async () => {
    expect((await fetch(`${urls.play}/`)).headers.get('content-type')).toBe('text/html; charset=utf-8')
    await eventually(async () => expect(await getJson(`${urls.play}/status`)).toMatchObject({ status: 'ready' }))
    const { parts } = (await getJson(`${urls.play}/status`)) as { parts: object }
    expect(Object.keys(parts).toSorted()).toEqual([...Object.keys(urls), 'events'].toSorted())
  })

  test('a changed asset is played as it is now', async () => {
    await play(urls.play as string, '123', 'reader')
    await fetch(`${urls.metadata}/content/asset/123`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ title: 'It, again', genre: 'horror', summary: '' }),
    })
    expect((await play(urls.play as string, '123', 'reader')).body).toMatchObject({ title: 'It, again' })
  })

  test('views are still counted after kill -9', async () => {
    await Promise.all(Array.from({ length: 50 }, () => play(urls.play as string, '456', 'survivor')))
    await embedded.signal('SIGKILL')
    await embedded.start()
    urls = await addresses()
    await expectViews('survivor', 50)
  })

  test('it ends with status 0 when it is told to', async () => {
    await embedded.signal('SIGTERM')
    expect(await embedded.ended()).toBe(0)
  })

  /** Where each service listens, as its log says. */
  const addresses = () =>
    eventually(() => {
      const lines = embedded.lines().flatMap((line) => (line.startsWith('{') ? [JSON.parse(line)] : []))
      const listening = lines.filter(({ msg }) => msg === 'listening')
      expect(listening).toHaveLength(5)
      return Object.fromEntries(listening.map(({ name, url }) => [name, url]))
    })
})
