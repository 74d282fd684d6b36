import { networkInterfaces } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { SMALL_BODY } from '../shared/http/validate.ts'
import { jsonRequest } from '../shared/testing/json-request.ts'
import { eventually } from './harness/eventually.ts'
import { metric } from './harness/plays.ts'
import { connectHttp } from './harness/raw-http.ts'
import { runningTime } from './harness/running-time.ts'
import { type ServiceProcess, startService } from './harness/service-process.ts'

const MIB = 2 ** 20
const SENDERS = 60

/** An address of this machine other than loopback, if there is one. */
const external = Object.values(networkInterfaces())
  .flat()
  .find((entry) => entry && !entry.internal && entry.family === 'IPv4')?.address

describe('with slow clients', { timeout: 60_000, concurrent: true }, () => {
  test('60 unfinished 4 MiB bodies take bounded memory, and do not block other requests', async () => {
    await using reporting = await startService('reporting')
    const memory = () => metric(reporting.url, /^process_resident_memory_bytes /)
    const before = await memory()
    const senders = await Promise.all(
      Array.from({ length: SENDERS }, () => sendBody(reporting, '/events/lookup', 4 * MIB, 4 * MIB - 1)),
    )
    await eventually(async () => {
      const statuses = await statusesOf(senders)
      expect(statuses.filter((status) => status === 503).length).toBeGreaterThanOrEqual(SENDERS - 4)
    })
    // All bodies together take 240 MiB. Rejected bodies also occupy memory until they are garbage-collected.
    await eventually(async () => expect((await memory()) - before).toBeLessThan(160 * MIB))
    const lookup = await fetch(`${reporting.url}/events/lookup`, jsonRequest({ assets: ['a'] }))
    expect(lookup.status).toBe(200)
    for (const sender of senders) sender[Symbol.dispose]()
  })

  test('memory is freed after a body is handled or aborted', async () => {
    await using reporting = await startService('reporting')
    for (let times = 0; times < 6; times += 1) {
      const body = JSON.stringify({ assets: ['a'] }).padEnd(4 * MIB)
      expect((await fetch(`${reporting.url}/events/lookup`, jsonRequest(body))).status).toBe(200)
      const aborted = await sendBody(reporting, '/events/lookup', 4 * MIB, 4 * MIB - 1)
      await sleep(100)
      aborted[Symbol.dispose]()
    }
    expect(reporting.lines().join('\n')).not.toContain('too many bytes')
  })

  test.each([
    ['metadata', '/content/assets'],
    ['cdnurl', '/url/assets'],
  ])('%s responds to POST %s while ten other 16 MiB bodies stay unfinished', async (name, path) => {
    await using service = await startService(name)
    const bodies = Array.from({ length: 10 }, () => sendBody(service, path, 16 * MIB, 16 * MIB - 1))
    const senders = await Promise.all(bodies)
    await sleep(500)
    const headers = { 'content-type': 'application/x-ndjson' }
    const response = await fetch(service.url + path, { method: 'POST', headers, body: '{"id":"1"}\n' })
    expect(response.status).toBe(400)
    for (const sender of senders) sender[Symbol.dispose]()
  })

  test('a body that takes more than 10 s gets a 408, and the connection is closed', async () => {
    await using reporting = await startService('reporting')
    using sender = await sendBody(reporting, '/events/lookup', 100, 10)
    const drip = setInterval(() => sender.socket.write(' '), 500)
    const startedAt = runningTime()
    const { status, headers, body } = await sender.response(25_000)
    clearInterval(drip)
    expect(runningTime() - startedAt).toBeLessThan(20_000)
    expect({ status, body: JSON.parse(body) }).toEqual({
      status: 408,
      body: { status: 'Request timeout', requestId: 'slow' },
    })
    expect(headers['x-request-id']).toBe('slow')
    await eventually(() => expect(sender.isClosed()).toBe(true))
  })

  test('a body of up to twice the limit gets a 413 after it has arrived, and the connection stays open', async () => {
    await using metadata = await startService('metadata')
    using sender = await sendBody(metadata, '/content/asset/456', 2 * SMALL_BODY, 10)
    await sleep(300)
    expect(sender.received()).toBe('')
    sender.socket.write(' '.repeat(2 * SMALL_BODY - 10))
    expect((await sender.response()).status).toBe(413)
    sender.socket.write('GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n')
    await eventually(() => expect(sender.received()).toContain('HTTP/1.1 200'))
  })

  test('a body of more than twice the limit gets a 413 immediately', async () => {
    await using metadata = await startService('metadata')
    using sender = await sendBody(metadata, '/content/asset/456', 2 * SMALL_BODY + 1, 10)
    expect((await sender.response(5_000)).status).toBe(413)
  })

  test('a subscriber that reads slowly stays connected for longer than 10 s', async () => {
    await using reporting = await startService('reporting')
    using subscriber = await connectHttp(reporting.url, 'GET /events/live HTTP/1.1\r\nhost: localhost\r\n\r\n')
    expect((await subscriber.response()).status).toBe(200)
    subscriber.socket.pause()
    await sleep(12_000)
    subscriber.socket.resume()
    expect(subscriber.isClosed()).toBe(false)
  })

  test.skipIf(!external)(
    'a client address may open up to CLIENT_CONNECTIONS connections, and a loopback address any number',
    async () => {
      const open = { HOST: '0.0.0.0', ALLOW_OPEN_WRITES: '1', CLIENT_CONNECTIONS: '3' }
      await using reporting = await startService('reporting', open)
      const { port } = new URL(reporting.url)
      const connectTo = (host: string) => connectHttp(`http://${host}:${port}`)
      const clients = await Promise.all(Array.from({ length: 5 }, () => connectTo(String(external))))
      await eventually(() => expect(clients.filter((client) => client.isClosed())).toHaveLength(2))
      const local = await Promise.all(Array.from({ length: 5 }, () => connectTo('127.0.0.1')))
      for (const client of clients) client[Symbol.dispose]()
      await eventually(async () => expect((await fetch(`http://${external}:${port}/healthz`)).status).toBe(200))
      expect(local.filter((client) => client.isClosed())).toEqual([])
      for (const client of local) client[Symbol.dispose]()
      expect(reporting.lines().join('\n')).toContain('too many connections from one client; closing the new one')
    },
  )
})

/** Sends the headers of a request with a body of `length` bytes, and the first `sent` bytes of the body. */
async function sendBody({ url }: Pick<ServiceProcess, 'url'>, path: string, length: number, sent: number) {
  const type = path.endsWith('/assets') ? 'application/x-ndjson' : 'application/json'
  const headers = ['host: localhost', `content-type: ${type}`, `content-length: ${length}`, 'x-request-id: slow']
  const client = await connectHttp(url, `POST ${path} HTTP/1.1\r\n${headers.join('\r\n')}\r\n\r\n`)
  client.socket.write(' '.repeat(sent))
  return client
}

/** The statuses of the senders that have received a response. */
async function statusesOf(senders: Awaited<ReturnType<typeof sendBody>>[]): Promise<(number | undefined)[]> {
  return Promise.all(
    senders.map((sender) =>
      sender.response(1).then(
        ({ status }) => status,
        () => undefined,
      ),
    ),
  )
}
