import { chmod, mkdtempDisposable, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { tokenAuthenticator } from 'nats'
import { expect, test } from 'vitest'
import { services } from '../../services.ts'
import { toSecret } from '../../shared/runtime/secret.ts'
import { startHttpServer } from '../../shared/testing/http-server.ts'
import { checkPublic, type Exposed } from './public.ts'

const nats = { servers: ['127.0.0.1:4222'], authenticate: undefined }
const authenticate = () => tokenAuthenticator('token')
const system: Exposed = {
  originsOf: () => [],
  plays: Promise.resolve([]),
  nats,
  database: undefined,
  dataDir: '/nowhere',
  limitsConnections: false,
  isBehindProxy: false,
}

async function isAbsent(name: string, changed: Partial<Exposed>): Promise<boolean> {
  const findings = await checkPublic({ ...system, ...changed }, true)
  const finding = findings.find(({ text }) => text.startsWith(`${name}: `))
  expect(finding).toBeDefined()
  return finding?.severity === 'ok'
}

test.each([
  [true, 'nats://127.0.0.1:4222', {}],
  [true, '[::1]:4222', {}],
  [false, 'nats://nats.internal:4222', {}],
  [false, 'tls://nats.internal:4222', {}],
  [false, 'nats://nats.internal:4222', { authenticate }],
  [true, 'tls://nats.internal:4222', { authenticate }],
  [true, 'nats.internal', { authenticate, ca: 'ca.pem' }],
])('the exposure "nats" is absent: %s, with server %s and %o', async (expected, server, access) => {
  expect(await isAbsent('nats', { nats: { ...nats, ...access, servers: [server] } })).toBe(expected)
})

test.each([
  [true, 'http://127.0.0.1:8081'],
  [true, 'http://[::1]:8081'],
  [true, 'https://metadata.internal'],
  [false, 'http://metadata.internal'],
])('the exposure "upstreams" is absent: %s, with metadata at %s', async (expected, origin) => {
  const originsOf: Exposed['originsOf'] = (service) => (service === services.metadata ? [origin] : [])
  expect(await isAbsent('upstreams', { originsOf })).toBe(expected)
})

test.each([
  [true, 'postgres://u:p@127.0.0.1/counts'],
  [false, 'postgres://u:p@db/counts'],
  [false, 'postgres://u:p@db/counts?sslmode=require'],
  [true, 'postgres://u:p@db/counts?sslmode=verify-full'],
])('the exposure "database" is absent: %s, with %s', async (expected, url) => {
  expect(await isAbsent('database', { database: [toSecret(url)] })).toBe(expected)
})

test.each([
  [false, {}],
  [true, { limitsConnections: true }],
  [true, { isBehindProxy: true }],
])('the exposure "connections" is absent: %s, with %o', async (expected, changed) => {
  expect(await isAbsent('connections', changed)).toBe(expected)
})

test.each([
  [421, true],
  [200, false],
])('if play responds %i to another host name, the exposure "hosts" is absent: %s', async (status, expected) => {
  await using server = await startHttpServer((request, response) => {
    response.statusCode = request.headers.host === 'doctor.invalid' ? status : 500
    response.end()
  })
  const originsOf: Exposed['originsOf'] = (service) => (service === services.play ? [server.url] : [])
  expect(await isAbsent('hosts', { originsOf })).toBe(expected)
})

test('the exposure "files" is present even if a file disappears while the directory is read', async () => {
  await using directory = await mkdtempDisposable(join(tmpdir(), 'public-test-'))
  await chmod(directory.path, 0o755)
  await symlink('/nowhere', join(directory.path, 'checkpoint.tmp'))
  expect(await isAbsent('files', { dataDir: directory.path })).toBe(true)
  const file = join(directory.path, 'outbox.sqlite')
  await writeFile(file, '')
  await chmod(file, 0o644)
  expect(await isAbsent('files', { dataDir: directory.path })).toBe(false)
})

test('an unreachable service counts as exposed', async () => {
  for (const name of ['identity', 'user-rate', 'client-rate', 'operations', 'hosts', 'reads', 'writes']) {
    expect(await isAbsent(name, {})).toBe(false)
  }
})
