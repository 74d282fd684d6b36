import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { jsonRequest } from '../shared/testing/json-request.ts'
import { runAudit } from './harness/audit-command.ts'
import { startChild } from './harness/child.ts'
import { eventually } from './harness/eventually.ts'
import { subscribeLive } from './harness/live-subscriber.ts'
import { natsVersion } from './harness/nats-server.ts'
import { warmUp } from './harness/plays.ts'
import { type System, startSystem } from './harness/system.ts'

const READ_TOKEN = 'a-token-for-reads-1'
const WRITE_TOKEN = 'a-token-for-writes'
const bearer = (token: string) => ({ authorization: `Bearer ${token}` })

describe.skipIf(!natsVersion)('with READ_TOKEN,', () => {
  let system: System
  let reporting: string
  let viewId: string
  beforeAll(async () => {
    system = await startSystem({ READ_TOKEN, WRITE_TOKEN })
    reporting = system.reporting.url
    await warmUp(system.play.url)
    const played = await fetch(`${system.play.url}/play/asset/456/user/8`, { method: 'POST' })
    viewId = played.headers.get('view-id') ?? ''
    await eventually(async () => expect((await read('/events/user/8', READ_TOKEN)).status).toBe(200))
  })
  afterAll(() => system?.[Symbol.asyncDispose]())

  const read = (path: string, token?: string) => fetch(reporting + path, { headers: token ? bearer(token) : {} })
  const lookUp = (token?: string) => {
    const { headers, ...rest } = jsonRequest({ assets: [], users: ['8'] })
    const init = { ...rest, headers: { ...headers, ...(token && bearer(token)) } }
    return fetch(`${reporting}/events/lookup`, init)
  }

  test.each([
    '/events/user/8',
    '/events/top?by=user',
    '/events/top?by=asset',
    '/events/live',
    '/events/views/x',
    `/traces/${'a'.repeat(32)}`,
  ])('reporting requires a token for %s, because it names users', async (path) => {
    for (const token of [undefined, 'a-token-for-reads-2']) {
      const response = await read(path, token)
      expect([response.status, response.headers.get('www-authenticate')]).toEqual([401, 'Bearer'])
    }
    for (const token of [READ_TOKEN, WRITE_TOKEN]) {
      const response = await read(path, token)
      expect(response.status).toBe(/views\/x|traces/.test(path) ? 404 : 200)
      await response.body?.cancel()
    }
  })

  test('reporting requires a token for a lookup of users', async () => {
    expect((await lookUp()).status).toBe(401)
    expect(await (await lookUp(READ_TOKEN)).json()).toMatchObject({ users: { 8: 1 } })
  })

  test.each(['/events/asset/456', '/events/series', '/events/audit', '/events/position'])(
    'reporting serves %s to anyone, because it names no user',
    async (path) => expect((await read(path)).status).toBe(200),
  )

  test('play serves counts, live counts and explanations without a token', async () => {
    const edge = system.play.url
    const played = await fetch(`${edge}/play/asset/456/user/9`, { method: 'POST' })
    expect(await played.json()).toMatchObject({ userviews: 1 })
    await using live = await subscribeLive(`${edge}/live`)
    await eventually(() => expect(live.seen()?.views).toBeGreaterThan(0))
    expect(await (await fetch(`${edge}/views/${viewId}`)).json()).toMatchObject({ id: viewId, state: 'counted' })
  })

  test('the commands send the token', async () => {
    const run = async (program: string, args: string[]) => {
      const env = { ...system.env, DATA_DIR: system.dataDir }
      await using child = startChild(program, args, { env })
      return [await child.ended, child.lines.join('\n')]
    }
    expect(await runAudit(system.env)).toMatchObject({ status: 0 })
    expect(await run(process.execPath, ['scripts/why/main.ts', 'user/8'])).toEqual([
      0,
      expect.stringContaining('User 8: 1 view'),
    ])
    const simulated = await run('bash', ['scripts/simulate.sh', '--views', '20'])
    expect(simulated).toEqual([0, expect.stringMatching(/^ +\d+ {2}(It|Terminator|456|123)/m)])
  })
})
