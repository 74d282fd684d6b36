import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { nkeys } from 'nats'
import { pino } from 'pino'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { eventually } from '../../tests/harness/eventually.ts'
import { startConfiguredNats } from '../../tests/harness/nats-config.ts'
import { createOperator } from '../../tests/harness/nats-jwt.ts'
import { natsVersion } from '../../tests/harness/nats-server.ts'
import { createTempDirectory } from '../../tests/harness/temp-directory.ts'
import { UsageError } from '../runtime/command-line.ts'
import { loadSettings } from '../runtime/settings.ts'
import { connectToNats } from './connect.ts'
import { toNatsAccess } from './credentials.ts'
import { openNatsLink } from './link.ts'
import { natsSettings } from './settings.ts'

const accessOf = (env: Record<string, string>) => toNatsAccess(loadSettings(natsSettings, { args: [], env }))
const connect = (env: Record<string, string>) => connectToNats({ ...accessOf(env), name: 'test' })
const seedOf = (pair: ReturnType<typeof nkeys.createUser>) => new TextDecoder().decode(pair.getSeed())

let directory: Awaited<ReturnType<typeof createTempDirectory>>
beforeAll(async () => {
  directory = await createTempDirectory('credentials')
})
afterAll(() => directory?.[Symbol.asyncDispose]())

async function write(name: string, text: string): Promise<string> {
  const path = join(directory.path, name)
  await writeFile(path, text)
  return path
}

test.each([
  ['NATS_NKEY', 'SUAM-marker'],
  ['NATS_NKEY', seedOf(nkeys.createAccount())],
])('%s must be the seed of a user, and the error for any other value does not reveal the value', (name, value) => {
  expect(() => accessOf({ NATS_URL: 'a', [name]: value })).toThrow(`${name} is "…": it must be the seed of a user nkey`)
})

test('NATS_CREDS must be a credentials file, and the error for any other file hides its content', async () => {
  const jwtOnly = createOperator().createCreds().split('\n\n')[0] ?? ''
  for (const text of ['s3cr3t-marker', '', jwtOnly]) {
    const file = await write('bad.creds', text)
    const load = () => accessOf({ NATS_URL: 'a', NATS_CREDS: file })
    expect(load).toThrow(new UsageError(`NATS_CREDS is "${file}": it must be a credentials file, as nsc generates it`))
  }
  expect(() => accessOf({ NATS_URL: 'a', NATS_CREDS: '/nowhere' })).toThrow('it must be a readable file')
  expect(() => accessOf({ NATS_URL: 'a', NATS_CA: '/nowhere' })).toThrow('it must be a readable file')
})

test('only one kind of credentials may be set', async () => {
  const NATS_CREDS = await write('user.creds', createOperator().createCreds())
  const NATS_NKEY = seedOf(nkeys.createUser())
  const settings = [
    { NATS_URL: 'alice:s3cr3t@a', NATS_NKEY },
    { NATS_URL: 'a', NATS_NKEY, NATS_CREDS },
    { NATS_URL: 'b,token@a', NATS_CREDS },
  ]
  for (const env of settings) expect(() => accessOf(env)).toThrow(/^NATS_CREDS, NATS_NKEY and .* set only one of them$/)
})

describe.skipIf(!natsVersion)('a NATS server that requires', () => {
  test("an nkey accepts only that key's seed, which may be in a file", async () => {
    const user = nkeys.createUser()
    await using nats = await startConfiguredNats(`authorization { users: [ { nkey: ${user.getPublicKey()} } ] }`)
    const NATS_NKEY_FILE = await write('seed', `${seedOf(user)}\n`)
    for (const env of [{ NATS_NKEY: seedOf(user) }, { NATS_NKEY_FILE }]) {
      const connection = await connect({ NATS_URL: nats.url, ...env })
      await connection.flush()
      await connection.close()
    }
    for (const env of [{ NATS_NKEY: seedOf(nkeys.createUser()) }, {}]) {
      await expect(connect({ NATS_URL: nats.url, ...env })).rejects.toThrow(/authorization violation/i)
    }
  })

  test("JWTs accepts a user's credentials file, and a renewed file once the first one has expired", async () => {
    const operator = createOperator()
    await using nats = await startConfiguredNats(...operator.config)
    const foreign = await write('foreign.creds', createOperator().createCreds())
    await expect(connect({ NATS_URL: nats.url, NATS_CREDS: foreign })).rejects.toThrow(/authorization violation/i)

    const now = Math.floor(Date.now() / 1_000)
    const NATS_CREDS = await write('user.creds', operator.createCreds(now + 3))
    const access = accessOf({ NATS_URL: nats.url, NATS_CREDS })
    await using link = openNatsLink({ ...access, name: 'test', log: pino({ level: 'silent' }) })
    await link.up(AbortSignal.timeout(5_000))
    await eventually(() => expect(link.state()).toBe('down'))
    await write('user.creds', operator.createCreds())
    await eventually(() => expect(link.state()).toBe('up'))
  })
})
