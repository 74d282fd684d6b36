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
  settings: { DATA_DIR: '/nowhere' },
  access: nats,
  originsOf: () => [],
  inspectedOf: async () => [],
  isNothingRunning: Promise.resolve(false),
  isPublic: true,
}

type Changed = Partial<Omit<Exposed, 'settings'>> & { settings?: Partial<Exposed['settings']> }

async function check(name: string, { settings, ...changed }: Changed): Promise<'passes' | 'fails'> {
  const findings = await checkPublic({ ...system, ...changed, settings: { ...system.settings, ...settings } })
  const finding = findings.find(({ text }) => text.startsWith(`${name}: `))
  expect(finding).toBeDefined()
  return finding?.severity === 'ok' ? 'passes' : 'fails'
}

test.each([
  ['passes', 'nats://127.0.0.1:4222', {}],
  ['passes', '[::1]:4222', {}],
  ['fails', 'nats://nats.internal:4222', {}],
  ['fails', 'tls://nats.internal:4222', {}],
  ['fails', 'nats://nats.internal:4222', { authenticate }],
  ['passes', 'tls://nats.internal:4222', { authenticate }],
  ['passes', 'nats.internal', { authenticate, ca: 'ca.pem' }],
])('the check "nats" %s with server %s and %o', async (expected, server, access) => {
  expect(await check('nats', { access: { ...nats, ...access, servers: [server] } })).toBe(expected)
})

test.each([
  ['passes', 'http://127.0.0.1:8081'],
  ['passes', 'http://[::1]:8081'],
  ['passes', 'https://metadata.internal'],
  ['fails', 'http://metadata.internal'],
])('the check "upstreams" %s with metadata at %s', async (expected, origin) => {
  const originsOf: Exposed['originsOf'] = (service) => (service === services.metadata ? [origin] : [])
  expect(await check('upstreams', { originsOf })).toBe(expected)
})

test.each([
  ['passes', 'postgres://u:p@127.0.0.1/counts'],
  ['fails', 'postgres://u:p@db/counts'],
  ['fails', 'postgres://u:p@db/counts?sslmode=require'],
  ['passes', 'postgres://u:p@db/counts?sslmode=verify-full'],
])('the check "database" %s with %s', async (expected, url) => {
  expect(await check('database', { settings: { DATABASE_URL: [toSecret(url)] } })).toBe(expected)
})

test.each([
  ['fails', {}],
  ['passes', { CLIENT_CONNECTIONS: 5 }],
  ['passes', { TRUSTED_PROXIES: [] }],
])('the check "connections" %s with %o', async (expected, settings) => {
  expect(await check('connections', { settings })).toBe(expected)
})

test.each([
  [421, 'passes'],
  [200, 'fails'],
])('if play responds %i to another host name, the check "hosts" %s', async (status, expected) => {
  await using server = await startHttpServer((request, response) => {
    response.statusCode = request.headers.host === 'doctor.invalid' ? status : 500
    response.end()
  })
  const originsOf: Exposed['originsOf'] = (service) => (service === services.play ? [server.url] : [])
  expect(await check('hosts', { originsOf })).toBe(expected)
})

test('the check "files" fails for a file that others can read, and ignores a file that no longer exists', async () => {
  await using directory = await mkdtempDisposable(join(tmpdir(), 'public-test-'))
  await chmod(directory.path, 0o755)
  await symlink('/nowhere', join(directory.path, 'checkpoint.tmp'))
  expect(await check('files', { settings: { DATA_DIR: directory.path } })).toBe('passes')
  const file = join(directory.path, 'outbox.sqlite')
  await writeFile(file, '')
  await chmod(file, 0o644)
  expect(await check('files', { settings: { DATA_DIR: directory.path } })).toBe('fails')
})

test('the checks for an unreachable service fail', async () => {
  for (const name of ['identity', 'user-rate', 'client-rate', 'operations', 'hosts', 'reads', 'writes']) {
    expect(await check(name, {})).toBe('fails')
  }
})
