import { copyFile, rm } from 'node:fs/promises'
import { connect as dial } from 'node:net'
import { join } from 'node:path'
import { pino } from 'pino'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type CertificateAuthority, createCertificateAuthority, hasOpenssl } from '../../tests/harness/certificates.ts'
import { eventually } from '../../tests/harness/eventually.ts'
import { startConfiguredNats, tlsWith } from '../../tests/harness/nats-config.ts'
import { natsVersion, startNatsServer } from '../../tests/harness/nats-server.ts'
import { startSocketServer } from '../../tests/harness/socket-server.ts'
import { createTempDirectory } from '../../tests/harness/temp-directory.ts'
import { loadSettings } from '../runtime/settings.ts'
import { connectToNats } from './connect.ts'
import { toNatsAccess } from './credentials.ts'
import { openNatsLink } from './link.ts'
import { natsSettings } from './settings.ts'

const PASSWORD = 's3cr3t-marker'
const LOGIN = `authorization { user: alice, password: "${PASSWORD}" }`

const accessOf = (env: Record<string, string>) => toNatsAccess(loadSettings(natsSettings, { args: [], env }))
const connect = (env: Record<string, string>) => connectToNats({ ...accessOf(env), name: 'test' })

/** `tls://alice:…@host:port` for a server's port. */
const secured = (url: string, host = '127.0.0.1') => `tls://alice:${PASSWORD}@${host}:${new URL(url).port}`

describe.skipIf(!natsVersion || !hasOpenssl)('TLS to NATS', () => {
  let directory: Awaited<ReturnType<typeof createTempDirectory>>
  let ours: CertificateAuthority
  let other: CertificateAuthority
  beforeAll(async () => {
    directory = await createTempDirectory('certificates')
    ours = createCertificateAuthority(directory.path)
    other = createCertificateAuthority(directory.path, 'other')
  })
  afterAll(() => directory?.[Symbol.asyncDispose]())

  const startTls = (names: string[], options?: { days?: number }) =>
    startConfiguredNats(LOGIN, tlsWith(ours.issue(names, options)))

  test('with tls://, a server without TLS is refused, and receives no data', async () => {
    const received: Buffer[] = []
    const greeting = 'INFO {"server_id":"x","version":"2.10.0","proto":1,"max_payload":1048576,"headers":true}\r\n'
    await using server = await startSocketServer((socket) => {
      socket.on('data', (data: Buffer) => received.push(data))
      socket.write(greeting)
    })
    await expect(connect({ NATS_URL: secured(server.url) })).rejects.toThrow(/does not offer TLS/)
    await using plain = await startConfiguredNats(LOGIN)
    await expect(connect({ NATS_URL: secured(plain.url) })).rejects.toThrow(/does not offer TLS/)
    await expect(
      connect({ NATS_URL: plain.url.replace('//', `//alice:${PASSWORD}@`), NATS_CA: ours.ca }),
    ).rejects.toThrow(/does not offer TLS/)
    expect(Buffer.concat(received).toString()).toBe('')
  })

  test('a server that offers TLS in its first greeting, but not in the second, gets no password', async () => {
    const received: Buffer[] = []
    let connections = 0
    await using server = await startSocketServer((socket) => {
      connections += 1
      socket.on('data', (data: Buffer) => received.push(data))
      const tls = connections === 1 ? ',"tls_required":true' : ''
      socket.write(`INFO {"server_id":"x","version":"2.10.0","proto":1,"max_payload":1048576${tls}}\r\n`)
    })
    await expect(connect({ NATS_URL: secured(server.url), NATS_CA: ours.ca })).rejects.toThrow()
    expect(connections).toBe(2)
    expect(Buffer.concat(received).toString()).toBe('')
  })

  test.each([
    ['IP:127.0.0.1', '127.0.0.1'],
    ['DNS:localhost', 'localhost'],
  ])('a certificate for %s is valid for %s', async (name, host) => {
    await using nats = await startTls([name])
    const connection = await connect({ NATS_URL: secured(nats.url, host), NATS_CA: ours.ca })
    expect(connection.info?.tls_required).toBe(true)
    await connection.close()
    // nats:// also uses TLS if the server requires it, and verifies the certificate in the same way.
    const url = secured(nats.url, host).replace('tls:', 'nats:')
    const upgraded = await connect({ NATS_URL: url, NATS_CA: ours.ca })
    await upgraded.close()
    await expect(connect({ NATS_URL: url })).rejects.toThrow(/certificate/)
  })

  test.each([
    ['the certificate is for another address', ['IP:127.0.0.2'], {}, /altnames/],
    ['the certificate is for localhost, but the address is an IP address', ['DNS:localhost'], {}, /altnames/],
    ['the certificate has expired', ['IP:127.0.0.1'], { days: -1 }, /expired/],
  ])('a server is refused, and gets no password, if %s', async (_, names, options, reason) => {
    await using nats = await startTls(names, options)
    const received = await recordPlaintext(nats.url)
    await using _proxy = received
    const failure = connect({ NATS_URL: secured(received.url), NATS_CA: ours.ca })
    await expect(failure).rejects.toMatchObject({
      name: 'NatsTlsError',
      cause: { message: expect.stringMatching(reason) },
    })
    expect(received.text()).not.toContain(PASSWORD)
  })

  test('a certificate from an unknown authority is refused', async () => {
    await using nats = await startTls(['IP:127.0.0.1'])
    for (const ca of [{ NATS_CA: other.ca }, {}]) {
      await expect(connect({ NATS_URL: secured(nats.url), ...ca })).rejects.toMatchObject({
        name: 'NatsTlsError',
        message: `the certificate of tls://127.0.0.1:${new URL(nats.url).port} is refused`,
        cause: { message: expect.stringMatching(/unable to verify|self.signed|issuer/) },
      })
    }
  })

  test('tls:// for one server requires TLS for all servers', async () => {
    await using nats = await startTls(['IP:127.0.0.1'])
    await using plain = await startNatsServer()
    for (let attempt = 0; attempt < 4; attempt += 1) {
      const connection = await connect({ NATS_URL: `${secured(nats.url)},${plain.url}`, NATS_CA: ours.ca })
      expect(connection.getServer()).toBe(nats.url.replace('nats://', ''))
      await connection.close()
    }
  })

  test('a link immediately logs why TLS fails, without the password, and uses a renewed NATS_CA', async () => {
    await using nats = await startTls(['IP:127.0.0.1'])
    const file = join(directory.path, 'renewed.pem')
    await copyFile(other.ca, file)
    const lines: { msg: string; reason?: string }[] = []
    const log = pino({}, { write: (line) => lines.push(JSON.parse(line)) })
    await using link = openNatsLink({ ...accessOf({ NATS_URL: secured(nats.url), NATS_CA: file }), name: 'test', log })
    await eventually(() => expect(lines).toHaveLength(1))
    expect(lines[0]).toMatchObject({ msg: 'cannot connect to NATS yet; retrying', reason: link.reason() })
    expect(link.reason()).toMatch(/^the certificate of tls:\/\/127\.0\.0\.1:\d+ is refused: .*(verify|signed|issuer)/)
    await rm(file)
    await eventually(() => expect(link.reason()).toContain('ENOENT'))
    await copyFile(ours.ca, file)
    await eventually(() => expect(link.state()).toBe('up'))
    expect(JSON.stringify(lines)).not.toContain(PASSWORD)
  })

  test('a link over TLS detects within 2 s that the server hangs', async () => {
    await using nats = await startTls(['IP:127.0.0.1'])
    const access = accessOf({ NATS_URL: secured(nats.url), NATS_CA: ours.ca })
    await using link = openNatsLink({ ...access, name: 'test', log: pino({ level: 'silent' }) })
    await link.up(AbortSignal.timeout(5_000))
    await nats.signal('SIGSTOP')
    await eventually(() => expect(link.state()).toBe('down'), 2_000)
    await nats.signal('SIGCONT')
    await eventually(() => expect(link.state()).toBe('up'))
  })
})

/** A proxy in front of a server. Records what the client sends. */
async function recordPlaintext(target: string) {
  const received: Buffer[] = []
  const server = await startSocketServer((client) => {
    const upstream = dial(Number(new URL(target).port), '127.0.0.1').on('error', () => client.destroy())
    client.on('data', (data: Buffer) => {
      received.push(data)
      upstream.write(data)
    })
    upstream.on('data', (data: Buffer) => client.write(data)).on('close', () => client.destroy())
    client.on('close', () => upstream.destroy())
  })
  return { ...server, text: () => Buffer.concat(received).toString('latin1') }
}
