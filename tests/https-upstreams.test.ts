import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { createServer } from 'node:tls'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  type CertificateAuthority,
  createCertificateAuthority,
  hasOpenssl,
  type KeyPair,
} from './harness/certificates.ts'
import { startChild } from './harness/child.ts'
import { doctor } from './harness/doctor-command.ts'
import { eventually } from './harness/eventually.ts'
import { natsVersion } from './harness/nats-server.ts'
import { getJson, play, views } from './harness/plays.ts'
import { startService } from './harness/service-process.ts'
import { type System, startSystem } from './harness/system.ts'
import { createTempDirectory } from './harness/temp-directory.ts'

const NAMES = ['METADATA_URL', 'CDNURL_URL', 'REPORTING_URL', 'QUEUE_LISTENER_URL']

describe.skipIf(!natsVersion || !hasOpenssl)('behind TLS-terminating proxies,', () => {
  const stack = new AsyncDisposableStack()
  let system: System
  let ours: CertificateAuthority
  let other: CertificateAuthority
  /** The URL of each service through its proxy. */
  let urls: Record<string, string>
  beforeAll(async () => {
    const directory = stack.use(await createTempDirectory('https'))
    ours = createCertificateAuthority(directory.path)
    other = createCertificateAuthority(directory.path, 'other')
    system = stack.use(await startSystem({ WRITE_TOKEN: 'token-over-https' }))
    urls = await proxied(ours.issue(['IP:127.0.0.1']))
  })
  afterAll(() => stack.disposeAsync())

  async function proxied(pair: KeyPair): Promise<Record<string, string>> {
    const started = NAMES.map(async (name) => [name, await startTlsProxy(pair, system.env[name] ?? '', stack)] as const)
    return Object.fromEntries(await Promise.all(started))
  }

  const startPlay = (env: Record<string, string>) => startService('play', { ...system.env, ...env })

  test('a play is served and counted over HTTPS', async () => {
    const env = { ...urls, UPSTREAM_CA: ours.ca }
    await using edge = await startPlay(env)
    await system.listener.signal('SIGTERM')
    await using _ = await startService('queue-listener', { ...system.env, ...env })
    await eventually(async () => {
      const { status, body } = await play(edge.url, '456', 'secure')
      expect([status, body]).toEqual([200, expect.not.objectContaining({ degraded: expect.anything() })])
    })
    await eventually(async () => expect(await views(system.reporting.url, 'user', 'secure')).toBeGreaterThan(0))
    await system.listener.start()
  })

  test.each([
    ['no UPSTREAM_CA', () => ({}), ['IP:127.0.0.1'], /unable to|issuer|self.signed/],
    ['another UPSTREAM_CA', () => ({ UPSTREAM_CA: other.ca }), ['IP:127.0.0.1'], /unable to|issuer|self.signed/],
    ['a certificate for another host', () => ({ UPSTREAM_CA: ours.ca }), ['DNS:other.example'], /altnames/],
  ])('with %s, no request is sent, and /readyz and the log state the reason', async (_, settings, names, reason) => {
    const proxies = await proxied(ours.issue(names))
    await using edge = await startPlay({ ...proxies, ...settings() })
    await eventually(async () => {
      expect((await play(edge.url, '456', 'refused')).status).toBe(503)
      expect(edge.lines().join('\n')).toMatch(/"reason":"https:.*circuit opened/)
    })
    const { reasons } = (await getJson(`${edge.url}/readyz`)) as { reasons?: Record<string, string> }
    for (const name of ['metadata', 'cdnurl', 'reporting']) {
      expect(reasons?.[name]).toMatch(/^https:\/\/127\.0\.0\.1:\d+: /)
      expect(reasons?.[name]).toMatch(reason)
    }
  })

  test('the doctor and npm run seed verify certificates with UPSTREAM_CA', async () => {
    const env = { ...system.env, ...urls, WRITE_TOKEN: 'token-over-https' }
    const trusted = await doctor({ ...env, UPSTREAM_CA: ours.ca })
    expect(trusted.of('metadata')).toEqual([expect.stringMatching(/^ok https:.* is ready$/)])
    const untrusted = await doctor({ ...env, UPSTREAM_CA: other.ca })
    expect(untrusted.of('metadata')).toEqual([
      expect.stringMatching(/^FAIL https:.*: fix UPSTREAM_CA, or its certificate/),
    ])
    for (const [UPSTREAM_CA, status] of [
      [ours.ca, 0],
      [other.ca, 1],
    ] as const) {
      await using seed = startChild('bash', ['scripts/seed.sh'], { env: { ...env, UPSTREAM_CA } })
      expect(await seed.ended).toBe(status)
    }
  })

  test("the doctor verifies the CDN's certificate with the public CAs, not with UPSTREAM_CA", async () => {
    const CDN_KEYS = 'k1:secret-of-the-first-key'
    await using cdn = await startService('cdn', { CDN_KEYS, CDN_ROOT: '.' })
    const CDN_BASE_URL = await startTlsProxy(other.issue(['IP:127.0.0.1']), cdn.url, stack)
    // Stands in for a public certificate authority.
    const NODE_EXTRA_CA_CERTS = other.ca
    const env = { ...system.env, ...urls, UPSTREAM_CA: ours.ca, NODE_EXTRA_CA_CERTS, CDN_BASE_URL, CDN_KEYS }
    await eventually(async () => {
      const { of } = await doctor(env)
      expect(of('cdn')).toEqual([`ok ${CDN_BASE_URL} accepts the URLs that play signs`])
      expect(of('metadata')).toEqual([expect.stringMatching(/^ok https:.* is ready$/)])
    })
  })
})

/** Starts a proxy that terminates TLS in front of `target`, an http URL. Returns its https URL. */
async function startTlsProxy({ cert, key }: KeyPair, target: string, stack: AsyncDisposableStack): Promise<string> {
  const sockets = new Set<Socket>()
  const server = createServer({ cert: readFileSync(cert), key: readFileSync(key) }, (client) => {
    const upstream = connect(Number(new URL(target).port), '127.0.0.1')
    for (const socket of [client, upstream]) {
      sockets.add(socket.on('error', () => {}))
      socket.on('close', () => {
        client.destroy()
        upstream.destroy()
      })
    }
    client.pipe(upstream).pipe(client)
  })
  server.on('tlsClientError', () => {}).listen(0, '127.0.0.1')
  await once(server, 'listening')
  stack.defer(async () => {
    server.close()
    for (const socket of sockets) socket.destroy()
    await once(server, 'close')
  })
  return `https://127.0.0.1:${(server.address() as AddressInfo).port}`
}
