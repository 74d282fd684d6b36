import { getEventListeners } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pino } from 'pino'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { eventually } from '../../tests/harness/eventually.ts'
import { type NatsServer, natsVersion, startNatsServer } from '../../tests/harness/nats-server.ts'
import { repeatAfterPause } from '../../tests/harness/running-time.ts'
import { startTcpProxy, type TcpProxy } from '../../tests/harness/tcp-proxy.ts'
import { createTempDirectory } from '../../tests/harness/temp-directory.ts'
import { sleep } from '../runtime/sleep.ts'
import { connectToNats } from './connect.ts'
import { type NatsLink, openNatsLink } from './link.ts'
import { untilLost } from './liveness.ts'

describe.skipIf(!natsVersion)('the liveness of a link to NATS', () => {
  let stack: AsyncDisposableStack
  let nats: NatsServer
  let lines: string[]
  beforeEach(async () => {
    stack = new AsyncDisposableStack()
    lines = []
    const directory = stack.use(await createTempDirectory('nats-config'))
    const config = join(directory.path, 'nats.conf')
    await writeFile(config, 'max_payload: 8MB\n')
    nats = stack.use(await startNatsServer({ config }))
  })
  afterEach(() => stack.disposeAsync())

  async function openUp({ url }: NatsServer | TcpProxy): Promise<NatsLink> {
    const own: string[] = []
    lines = own
    const log = pino({}, { write: (line) => own.push(JSON.parse(line).msg) })
    const link = stack.use(openNatsLink({ servers: [url], name: 'test', log }))
    await link.up(AbortSignal.timeout(5_000))
    return link
  }

  test('a lost connection leaves no abort listener behind that would keep it in memory', async () => {
    const shutdown = new AbortController()
    const connection = await connectToNats({ servers: [nats.url], name: 'test' })
    const lost = untilLost(connection, shutdown.signal)
    expect(getEventListeners(shutdown.signal, 'abort')).toHaveLength(1)
    await connection.close()
    await lost
    expect(getEventListeners(shutdown.signal, 'abort')).toEqual([])
  })

  describe('over a 10 Mbit/s connection', () => {
    const LIMITS = { bytesPerSecond: 1_250_000 }
    const MEGABYTE = 1_000_000

    async function openSlow() {
      const proxy = stack.use(await startTcpProxy(nats.url, 0, LIMITS))
      await nats.use(async (connection) => {
        await (await connection.jetstreamManager()).streams.add({ name: 'LARGE', subjects: ['large'] })
      })
      return openUp(proxy)
    }

    test.each([1, 3])('the link stays up while it receives a %i MB message', async (megabytes) => {
      await repeatAfterPause(async () => {
        const link = await openSlow()
        const body = new Uint8Array(megabytes * MEGABYTE)
        await nats.use((connection) => connection.jetstream().publish('large', body))
        const jsm = await link.connection().jetstreamManager({ checkAPI: false, timeout: 15_000 })
        expect((await jsm.streams.getMessage('LARGE', { seq: 1 })).data).toHaveLength(body.length)
        expect(lines).toEqual(['NATS is up'])
      })
    })

    test('the link stays up while it publishes 1 MB messages', async () => {
      await repeatAfterPause(async () => {
        const link = await openSlow()
        const js = link.connection().jetstream({ timeout: 15_000 })
        for (const _ of [1, 2, 3]) await js.publish('large', new Uint8Array(MEGABYTE))
        expect(lines).toEqual(['NATS is up'])
      })
    })
  })

  test('a link with a round trip of 400 to 800 ms stays up, and goes down within 3 s once the server is silent', async () => {
    await using proxy = await startTcpProxy(nats.url, 200, { jitterMs: 200 })
    const link = await repeatAfterPause(async () => {
      const opened = await openUp(proxy)
      await sleep(5_000)
      expect(lines).toEqual(['NATS is up'])
      return opened
    })
    proxy.silence()
    await eventually(() => expect(link.state()).toBe('down'), 3_000)
  })

  test('a link that publishes 5 MB/s goes down within 3 s if the server hangs', async () => {
    const link = await openUp(nats)
    const publish = () => link.state() === 'up' && link.connection().publish('any', new Uint8Array(50_000))
    const timer = setInterval(publish, 10)
    stack.defer(() => clearInterval(timer))
    await sleep(1_000)
    await nats.signal('SIGSTOP')
    await eventually(() => expect(link.state()).toBe('down'), 3_000)
  })
})
