import { once } from 'node:events'
import { connect } from 'node:net'
import { pino } from 'pino'
import { expect, test } from 'vitest'
import { createBaseApp } from '../../shared/http/base-app.ts'
import { jsonBody } from '../../shared/http/validate.ts'
import { listen } from '../../shared/service/listen.ts'
import { expectProblem } from '../../shared/testing/expect-problem.ts'
import { createTestService } from '../../shared/testing/test-service.ts'
import { eventually } from '../../tests/harness/eventually.ts'
import { PRIORITIES, type Priority } from './overload.ts'
import { shedLoad } from './shed-load.ts'

const PREFETCH = { 'sec-purpose': 'prefetch' }
const requests: Record<Priority, { paths: string[]; headers?: Record<string, string> }> = {
  console: { paths: ['/', '/console/page.js', '/docs', '/openapi.json', '/status', '/nope'] },
  reads: { paths: ['/catalogue?limit=1', '/live', '/views/1'] },
  prefetch: { paths: ['/play/asset/1/user/1'], headers: PREFETCH },
  watched: { paths: ['/play/watched/1'] },
  plays: { paths: ['/play/asset/1/user/1', '/play/asset/1'] },
}

/** An edge whose event loop is `delayMs` late, and which responds to plays once `finish` is called. */
function setUp(delayMs = 0) {
  const refused: Priority[] = []
  const played = Promise.withResolvers<void>()
  const shedding = shedLoad({ delay: { ms: () => delayMs }, onRefused: (priority) => refused.push(priority) })
  const app = createBaseApp(createTestService(), { middleware: [shedding] })
    .get('/play/*', async (c) => {
      await played.promise
      return c.body('played')
    })
    .post('/play/watched/:id', jsonBody(), async (c) => {
      await played.promise
      return c.body('recorded')
    })
    .get('*', (c) => c.body('served'))
  return { app, refused, finish: played.resolve }
}

test.each([
  [0, []],
  [150, ['console']],
  [200, ['console', 'reads']],
  [250, ['console', 'reads', 'prefetch']],
  [10_000, ['console', 'reads', 'prefetch', 'watched']],
])('while the event loop is %i ms late, the refused priorities are %j', async (delayMs, expected) => {
  const { app, refused, finish } = setUp(delayMs)
  finish()
  for (const priority of PRIORITIES) {
    const { paths, headers = {} } = requests[priority]
    for (const path of paths) {
      const response = await app.request(path, { headers })
      if (!expected.includes(priority)) expect([path, response.status]).toEqual([path, 200])
      else {
        expect(response.headers.get('retry-after')).toBe('1')
        await expectProblem(response, 503, [])
      }
    }
  }
  expect(new Set(refused)).toEqual(new Set(expected))
})

test('probes and metrics are served under any load', async () => {
  const { app, refused } = setUp(10_000)
  for (const path of ['/healthz', '/readyz', '/metrics']) expect((await app.request(path)).status).toBe(200)
  expect(refused).toEqual([])
})

test('with 250 prefetches in flight, further prefetches are refused, and all other requests are served', async () => {
  const { app, refused, finish } = setUp()
  const flood = Array.from({ length: 3_000 }, () => app.request('/play/asset/1/user/1', { headers: PREFETCH }))
  for (const path of ['/', '/catalogue', '/live']) expect([path, (await app.request(path)).status]).toEqual([path, 200])
  expect(refused).toEqual(Array(2_750).fill('prefetch'))
  finish()
  expect((await Promise.all(flood)).filter(({ status }) => status === 200)).toHaveLength(250)
  expect((await app.request('/play/asset/1/user/1', { headers: PREFETCH })).status).toBe(200)
})

test('plays beyond 4,000 in flight are refused, and the console is served again once the others end', async () => {
  const { app, refused, finish } = setUp()
  const plays = Array.from({ length: 5_000 }, () => app.request('/play/asset/1/user/1'))
  for (const path of ['/', '/catalogue']) expect((await app.request(path)).status).toBe(503)
  expect((await app.request('/play/asset/1/user/1', { headers: PREFETCH })).status).toBe(503)
  expect(refused.filter((priority) => priority === 'plays')).toHaveLength(1_000)
  finish()
  expect((await Promise.all(plays)).filter(({ status }) => status === 200)).toHaveLength(4_000)
  expect((await app.request('/')).status).toBe(200)
})

test('a report of watch time counts as load only once its body has arrived', async () => {
  await using stack = new AsyncDisposableStack()
  const { app, finish } = setUp()
  const at = { host: '127.0.0.1', port: 0, log: pino({ level: 'silent' }) }
  const { port, url } = stack.use(await listen(app, at))
  const body = JSON.stringify({ seconds: 1 })
  // Enough load to refuse reads.
  const sockets = Array.from({ length: 800 }, () => {
    const socket = connect(port, '127.0.0.1')
    stack.defer(() => void socket.destroy())
    const headers = ['host: localhost', 'content-type: application/json', `content-length: ${body.length}`]
    socket.write(`POST /play/watched/1 HTTP/1.1\r\n${headers.join('\r\n')}\r\n\r\n`)
    return socket
  })
  await Promise.all(sockets.map((socket) => socket.connecting && once(socket, 'connect')))
  for (let times = 0; times < 20; times += 1) expect((await fetch(`${url}/live`)).status).toBe(200)
  for (const socket of sockets) socket.write(body)
  await eventually(async () => expect((await fetch(`${url}/live`)).status).toBe(503))
  finish()
  await eventually(async () => expect((await fetch(`${url}/live`)).status).toBe(200))
})
