import { expect, test } from 'vitest'
import type { Controls } from '../../shared/contracts/controls.ts'
import { createBaseApp } from '../../shared/http/base-app.ts'
import { expectProblem } from '../../shared/testing/expect-problem.ts'
import { createTestService } from '../../shared/testing/test-service.ts'
import type { ControlsProxy } from './proxy.ts'
import { createControlRoutes } from './routes.ts'

const on: Controls = { state: 'on', reason: null, can: ['kill'], processes: [], commands: {} }
const authorization = 'Bearer token'

type Client = { address?: string; headers?: Record<string, string> }

function setUp(reply = { status: 200, body: { status: 'ok' } as object }) {
  const calls: unknown[] = []
  const proxy: Pick<ControlsProxy, 'read' | 'post'> = {
    async read(token) {
      calls.push(['read', token])
      return on
    },
    async post(path, token) {
      calls.push([path, token])
      return reply
    },
  }
  const app = createBaseApp(createTestService('play')).route('/', createControlRoutes(proxy))
  const send = (method: string, path: string, { address = '127.0.0.1', headers = {} }: Client = {}) => {
    const all = { host: 'localhost:8080', authorization, ...headers }
    return app.request(
      path,
      { method, headers: all },
      { incoming: { headers: all, socket: { remoteAddress: address } } },
    )
  }
  return { send, calls }
}

test("control requests are forwarded with the caller's token", async () => {
  const { send, calls } = setUp()
  expect(await (await send('GET', '/controls')).json()).toEqual(on)
  expect(await (await send('POST', '/controls/seed')).json()).toEqual({ status: 'ok' })
  await send('POST', '/controls/reporting/kill?seconds=2', { headers: { 'sec-fetch-site': 'same-origin' } })
  expect(calls).toEqual([
    ['read', authorization],
    ['/controls/seed', authorization],
    ['/controls/reporting/kill?seconds=2', authorization],
  ])
})

test.each<{ name: string; client: Client }>([
  { name: 'another machine', client: { address: '192.0.2.1' } },
  { name: 'a client that has disconnected', client: { address: '' } },
  { name: 'a proxy on this machine', client: { headers: { 'x-forwarded-for': '192.0.2.1' } } },
  { name: 'a website whose name resolves to this machine', client: { headers: { host: 'site.example:8080' } } },
])('$name cannot use the controls, and sees no processes', async ({ client }) => {
  const { send, calls } = setUp()
  expect(await (await send('GET', '/controls', client)).json()).toMatchObject({ state: 'off', can: [] })
  await expectProblem(await send('POST', '/controls/reporting/kill', client), 403)
  expect(calls).toEqual([])
})

test.each(['[::1]:8080', '127.0.0.1:8080', 'localhost'])('requests to the host %s are accepted', async (host) => {
  const { send } = setUp()
  expect((await send('POST', '/controls/seed', { address: '::1', headers: { host } })).status).toBe(200)
})

test('if the supervisor refuses a request, the response is a problem with the reason', async () => {
  const errors = [{ path: 'controls', message: 'reporting is down' }]
  const { send } = setUp({ status: 409, body: { errors } })
  const response = await send('POST', '/controls/reporting/kill')
  expect([response.status, await response.json()]).toEqual([409, expect.objectContaining({ errors })])
})

test('without a supervisor, there are no controls, and the response says why', async () => {
  const app = createBaseApp(createTestService('play')).route('/', createControlRoutes(undefined))
  expect(await (await app.request('/controls')).json()).toMatchObject({
    state: 'off',
    reason: expect.stringContaining('npm start offers them'),
  })
})
