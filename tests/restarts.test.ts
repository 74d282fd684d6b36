import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { jsonRequest } from '../shared/testing/json-request.ts'
import { eventually } from './harness/eventually.ts'
import { natsVersion } from './harness/nats-server.ts'
import { getJson, play, views } from './harness/plays.ts'
import { startService } from './harness/service-process.ts'
import { type System, startSystem } from './harness/system.ts'

describe.skipIf(!natsVersion)('restarts and outages:', () => {
  let system: System
  beforeAll(async () => {
    system = await startSystem()
  })
  beforeEach(() => expectReady(system))
  afterAll(() => system?.[Symbol.asyncDispose]())

  test('services start in any order, report their state, and recover once their dependencies are up', async () => {
    const { nats, metadata, cdnurl, reporting, listener, play: edge } = system
    for (const process of [nats, metadata, cdnurl, reporting, listener, edge]) await process.signal('SIGKILL')

    for (const service of [edge, listener]) {
      await service.start()
      expect((await fetch(`${service.url}/healthz`)).status).toBe(200)
    }
    expect(await getJson(`${edge.url}/readyz`)).toMatchObject({
      dependencies: { nats: 'down', metadata: 'down', cdnurl: 'down', reporting: 'down', outbox: 'up' },
    })
    expect(await getJson(`${listener.url}/readyz`)).toMatchObject({
      status: 'not ready',
      dependencies: { nats: 'down' },
    })
    expect((await play(edge.url, '456', 'early')).status).toBe(503)

    for (const service of [metadata, cdnurl, reporting]) await service.start()
    expect(await getJson(`${metadata.url}/readyz`)).toMatchObject({
      status: 'not ready',
      dependencies: { nats: 'down' },
    })
    expect((await fetch(`${metadata.url}/content/asset/456`)).status).toBe(503)

    await nats.start()
    await eventually(async () => expect(await play(edge.url, '456', 'late')).toMatchObject({ status: 200 }))
    await eventually(async () => expect(await views(reporting.url, 'user', 'late')).toBe(1))
    expect(await views(reporting.url, 'user', 'early')).toBe(0)
    await expectReady(system)
  })

  test('a posted asset survives kill -9 of every process, and a second instance also serves it', async () => {
    const { nats, metadata } = system
    await using second = await startService('metadata', system.env)
    const asset = { title: 'Metropolis', genre: 'drama', summary: '' }
    await eventually(async () =>
      expect((await fetch(`${metadata.url}/content/asset/789`, jsonRequest(asset))).status).toBe(200),
    )
    await eventually(async () => {
      expect(await getJson(`${second.url}/content/asset/789`)).toEqual({ id: '789', ...asset })
    })
    expect((await fetch(`${second.url}/content/asset/123`, { method: 'DELETE' })).status).toBe(200)

    for (const process of [nats, metadata, second]) await process.signal('SIGKILL')
    await expect(fetch(`${metadata.url}/healthz`)).rejects.toThrow()
    for (const process of [nats, metadata]) await process.start()
    await eventually(async () => {
      expect(await getJson(`${metadata.url}/content/assets`)).toEqual({
        assets: [
          { id: '456', title: 'Terminator', genre: 'action', summary: 'Summary for terminator' },
          { id: '789', ...asset },
        ],
        next: null,
      })
    })
  })

  test('while NATS is down, the catalogue can be read, and a write gets a 503', async () => {
    const url = `${system.metadata.url}/content/asset/456`
    const before = await getJson(url)
    expect(before).toMatchObject({ id: '456' })
    await system.nats.signal('SIGKILL')
    const rejected = await fetch(url, jsonRequest({ title: 'Rejected', genre: 'drama', summary: '' }))
    expect(rejected.status).toBe(503)
    expect(rejected.headers.get('retry-after')).toBe('1')
    expect(await getJson(url)).toEqual(before)
    await system.nats.start()
    const other = { title: 'Accepted', genre: 'drama', summary: '' }
    const accepted = `${system.metadata.url}/content/asset/accepted`
    await eventually(async () => expect((await fetch(accepted, jsonRequest(other))).status).toBe(200))
    expect(await getJson(url)).toEqual(before)
    expect((await fetch(accepted, { method: 'DELETE' })).status).toBe(200)
    expect((await fetch(accepted)).status).toBe(404)
  })
})

async function expectReady({ metadata, cdnurl, listener, play: edge }: System): Promise<void> {
  for (const { url } of [metadata, cdnurl, listener, edge]) {
    await eventually(async () => expect((await fetch(`${url}/readyz`)).status).toBe(200))
  }
}
