import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pino } from 'pino'
import { expect, test } from 'vitest'
import { eventually } from '../../tests/harness/eventually.ts'
import { natsVersion, startNatsServer } from '../../tests/harness/nats-server.ts'
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
  const open = async (url: string) => {
    await using stack = new AsyncDisposableStack()
    const link = stack.use(openNatsLink({ ...toNatsAccess({ NATS_URL: natsUrl.parse(url) }), name: 'test', log }))
    const eventLog = stack.use(createJetStreamEventLog({ nats: link, log }))
    await link.up(AbortSignal.timeout(5_000))
    return { link, eventLog, stack: stack.move() }
  }
  const [first, second] = [await open(usable.url), await open(unusable.url.replace('nats://', 'nats://u:p@'))]
  await using _ = first.stack
  await using __ = second.stack
  await eventually(() => expect(first.eventLog.state()).toBe('up'), 3_000)
  await eventually(() => expect(second.eventLog.reason?.()).toMatch(/permissions violation/i), 3_000)
  expect(second.link.state()).toBe('up')
  expect(second.eventLog.state()).toBe('down')
})
