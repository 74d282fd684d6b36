import { createServer, Socket } from 'node:net'
import { expect, test } from 'vitest'
import { trustedProxies } from '../runtime/ip-address.ts'
import { createTestService } from '../testing/test-service.ts'
import { limitConnections } from './limit-connections.ts'

/** A server with a limit of two connections per client, to which sockets from any address can connect. */
function setUp(proxies?: string) {
  const server = createServer()
  limitConnections(server, { max: 2, log: createTestService().log, trustedProxies: trustedProxies.parse(proxies) })
  return (remoteAddress: string) => {
    const socket = Object.defineProperty(new Socket(), 'remoteAddress', { value: remoteAddress })
    server.emit('connection', socket)
    return socket
  }
}

test('addresses in one IPv6 /64 network share the limit', () => {
  const connect = setUp()
  const sockets = ['2001:db8::1', '2001:db8::2', '2001:db8::3', '2001:db8:0:1::1'].map(connect)
  expect(sockets.map(({ destroyed }) => destroyed)).toEqual([false, false, true, false])
})

test('an IPv4 address shares the limit with its IPv4-mapped IPv6 form, and a closed connection makes room', async () => {
  const connect = setUp()
  const [first] = ['::ffff:203.0.113.7', '203.0.113.7'].map(connect)
  expect(connect('::ffff:203.0.113.7').destroyed).toBe(true)
  first?.destroy()
  await new Promise(setImmediate)
  expect(connect('203.0.113.7').destroyed).toBe(false)
})

test.each(['127.0.0.1', '::1', '::ffff:127.0.0.1', '10.1.2.3'])(
  '%s is exempt, because it is on loopback or is a trusted proxy',
  (address) => {
    const connect = setUp('10.0.0.0/8')
    expect(Array.from({ length: 5 }, () => connect(address).destroyed)).toEqual(Array(5).fill(false))
  },
)
