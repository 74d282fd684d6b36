import { describe, expect, test } from 'vitest'
import { eventually } from './harness/eventually.ts'
import { natsVersion } from './harness/nats-server.ts'
import { getJson, play, views } from './harness/plays.ts'
import { startService } from './harness/service-process.ts'
import { startSystem } from './harness/system.ts'

describe.skipIf(!natsVersion)('startup', { timeout: 60_000 }, () => {
  test('everything starts, says its state, and comes to life when what it needs is there', async () => {
    await using system = await startSystem()
    const { nats, metadata, cdnurl, reporting, listener, play: edge } = system
    for (const part of [nats, metadata, cdnurl, reporting, listener, edge]) await part.signal('SIGKILL')

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
    for (const { url } of [edge, listener, metadata, cdnurl]) {
      await eventually(async () => expect((await fetch(`${url}/readyz`)).status).toBe(200))
    }
  })

  test('what was posted survives kill -9 of all, and shows on a second instance', async () => {
    await using system = await startSystem()
    await using second = await startService('metadata', system.env)
    const asset = { title: 'Metropolis', genre: 'drama', summary: '' }
    await eventually(async () =>
      expect((await write('POST', `${system.metadata.url}/content/asset/789`, asset)).status).toBe(200),
    )
    await eventually(async () => {
      expect(await getJson(`${second.url}/content/asset/789`)).toEqual({ id: '789', ...asset })
    })
    expect((await write('DELETE', `${second.url}/content/asset/123`)).status).toBe(200)

    await Promise.all([system.nats, system.metadata, second].map((part) => part.signal('SIGKILL')))
    expect((await fetch(`${system.metadata.url}/healthz`).catch(() => undefined))?.status).toBeUndefined()
    for (const part of [system.nats, system.metadata]) await part.start()
    await eventually(async () => {
      expect(await getJson(`${system.metadata.url}/content/assets`)).toEqual({
        assets: [
          { id: '456', title: 'Terminator', genre: 'action', summary: 'Summary for terminator' },
          { id: '789', ...asset },
        ],
        next: null,
      })
    })
  })

  test('with NATS away the catalogue is read, and a write is a 503', async () => {
    await using system = await startSystem()
    const url = `${system.metadata.url}/content/asset/456`
    await eventually(async () => expect((await fetch(url)).status).toBe(200))
    await system.nats.signal('SIGKILL')
    expect((await fetch(url)).status).toBe(200)
    const refused = await write('POST', url, { title: 'T', genre: 'g', summary: '' })
    expect(refused.status).toBe(503)
    expect(refused.headers.get('retry-after')).toBe('1')
    expect(await getJson(url)).toMatchObject({ title: 'Terminator' })
    await system.nats.start()
    await eventually(async () => expect((await write('DELETE', url)).status).toBe(200))
    expect((await fetch(url)).status).toBe(404)
  })
})

function write(method: 'POST' | 'DELETE', url: string, body?: object): Promise<Response> {
  const headers = { 'content-type': 'application/json' }
  return fetch(url, { method, headers, ...(body && { body: JSON.stringify(body) }) })
}
