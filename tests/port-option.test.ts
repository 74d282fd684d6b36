import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type ServiceName, serviceEntries } from '../services.ts'
import { startHttpServer } from '../shared/testing/http-server.ts'
import { startChild } from './harness/child.ts'
import { eventually } from './harness/eventually.ts'
import { type NatsServer, natsVersion, startNatsServer } from './harness/nats-server.ts'
import { freePortRange, portNextTo } from './harness/ports.ts'

describe.skipIf(!natsVersion)('--port N', { timeout: 60_000 }, () => {
  let nats: NatsServer
  beforeAll(async () => {
    nats = await startNatsServer()
  })
  afterAll(() => nats?.[Symbol.asyncDispose]())

  /** Runs a command with `--port`, and with another system's URLs. */
  async function run(command: string, args: string[]) {
    const port = await freePortRange()
    let requests = 0
    await using other = await startHttpServer((_, response) => {
      requests += 1
      response.end()
    })
    const urls = Object.fromEntries(serviceEntries.map(({ urlSetting }) => [urlSetting, other.url]))
    const unset = { CONSUL_HTTP_ADDR: '', DATABASE_URL: '', DATA_DIR: '/nowhere' }
    const script = `scripts/${command}/main.ts`
    await using child = startChild(process.execPath, [script, '--port', String(port), ...args], {
      env: { ...unset, ...urls, NATS_URL: nats.url },
    })
    await child.ended
    return { port, text: child.lines.join('\n'), requests }
  }

  test.each<[string, string[], ServiceName]>([
    ['doctor', ['--public'], 'metadata'],
    ['counts', [], 'reporting'],
    ['audit', [], 'reporting'],
    ['why', ['user/8'], 'reporting'],
    ['dead-letters', [], 'queue-listener'],
  ])('of npm run %s %j overrides the service URLs', async (command, args, service) => {
    const { port, text, requests } = await run(command, args)
    expect(text).toContain(`http://127.0.0.1:${portNextTo(port, service)}`)
    expect(requests).toBe(0)
  })

  test('does not override NATS_URL, which npm start uses too', async () => {
    await eventually(async () => {
      expect((await run('doctor', [])).text).toMatch(/^ok +nats +127\.0\.0\.1:\d+ \(nats-server \S+\) is up$/m)
    })
    expect((await run('counts', [])).text).toMatch(/^log +(does not exist yet|empty)/m)
  })
})
