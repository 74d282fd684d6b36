import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pino } from 'pino'
import { expect, test } from 'vitest'
import { eventually } from '../../tests/harness/eventually.ts'
import { natsVersion, startNatsServer } from '../../tests/harness/nats-server.ts'
import { startTcpProxy } from '../../tests/harness/tcp-proxy.ts'
import { createTempDirectory } from '../../tests/harness/temp-directory.ts'
import { toNatsAccess } from '../nats/credentials.ts'
import { openNatsLink } from '../nats/link.ts'
import { natsUrl } from '../nats/settings.ts'
import { createJetStreamEventLog } from './jetstream-event-log.ts'

const log = pino({ level: 'silent' })

/** Configures a server that responds to pings, but not to JetStream requests. */
const WITHOUT_API = `authorization { users: [{ user: u, password: p, permissions: { publish: { deny: "$JS.API.>" } } }] }`

test.skipIf(!natsVersion)('an idle log is up only while JetStream responds', async () => {
  await using directory = await createTempDirectory('nats-config')
  const config = join(directory.path, 'nats.conf')
  await writeFile(config, WITHOUT_API)
  await using usable = await startNatsServer()
  await using unusable = await startNatsServer({ config })
  const [first, second] = [await open(usable.url), await open(unusable.url.replace('nats://', 'nats://u:p@'))]
  await using _ = first.stack
  await using __ = second.stack
  await eventually(() => expect(first.eventLog.state()).toBe('up'), 3_000)
  await eventually(() => expect(second.eventLog.reason?.()).toMatch(/permissions violation/i), 3_000)
  expect(second.link.state()).toBe('up')
  expect(second.eventLog.state()).toBe('down')
})

test.skipIf(!natsVersion)('a log stays up if one response to a probe is lost', async () => {
  await using nats = await startNatsServer()
  let losses = 0
  // Sends the second response about the stream to an inbox that does not exist.
  const rewrite = (data: Buffer) => {
    const text = data.toString('latin1')
    if (!text.includes('stream_info_response') || ++losses !== 2) return data
    return Buffer.from(text.replace(/^(MSG \S+)\S /m, '$1~ '), 'latin1')
  }
  await using proxy = await startTcpProxy(nats.url, 0, { rewrite })
  const { eventLog, stack } = await open(proxy.url)
  await using _ = stack
  await eventually(() => expect(eventLog.state()).toBe('up'), 3_000)
  const states = new Set<string>()
  await eventually(() => {
    states.add(`${eventLog.state()}: ${eventLog.reason?.()}`)
    expect(losses).toBe(5)
  }, 10_000)
  expect([...states]).toEqual(['up: undefined'])
})

async function open(url: string) {
  await using stack = new AsyncDisposableStack()
  const link = stack.use(openNatsLink({ ...toNatsAccess({ NATS_URL: natsUrl.parse(url) }), name: 'test', log }))
  const eventLog = stack.use(createJetStreamEventLog({ nats: link, log }))
  await link.up(AbortSignal.timeout(5_000))
  return { link, eventLog, stack: stack.move() }
}
