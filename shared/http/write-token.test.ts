import { Hono } from 'hono'
import { pino } from 'pino'
import { expect, test } from 'vitest'
import { UsageError } from '../runtime/command-line.ts'
import { loadSettings } from '../runtime/settings.ts'
import type { AppEnv } from './app-env.ts'
import {
  assertWritesProtected,
  checkWriteToken,
  privateToken,
  requireWriteToken,
  toWriteToken,
  writeSettings,
} from './write-token.ts'

const load = (env: Record<string, string>) => loadSettings(writeSettings, { args: [], env })

test('by default, no token is set, and ALLOW_OPEN_WRITES is off', () => {
  expect(load({})).toEqual({ ALLOW_OPEN_WRITES: false })
  const { ALLOW_OPEN_WRITES, WRITE_TOKEN } = load({ ALLOW_OPEN_WRITES: '1', WRITE_TOKEN: 'a~!' })
  expect([ALLOW_OPEN_WRITES, WRITE_TOKEN?.sent.reveal(), WRITE_TOKEN?.accepted.length]).toEqual([true, 'a~!', 1])
})

test.each([
  ['WRITE_TOKEN', 'a b c'],
  ['WRITE_TOKEN', 'a  b'],
  ['WRITE_TOKEN', 'a '],
  ['WRITE_TOKEN', 'é'],
  ['ALLOW_OPEN_WRITES', 'yes'],
])('%s=%s is rejected', (name, value) => {
  expect(() => load({ [name]: value })).toThrow(UsageError)
})

test('the error for a rejected token does not contain the token', () => {
  expect(() => load({ WRITE_TOKEN: 's3cr3t with spaces' })).toThrow(/^WRITE_TOKEN is "…": it must be printable ASCII/)
})

test('during a rotation, both tokens are accepted, but no others', async () => {
  const { WRITE_TOKEN } = load({ WRITE_TOKEN: 'new-token old-token' })
  expect(WRITE_TOKEN?.sent.reveal()).toBe('new-token')
  const app = new Hono<AppEnv>().post('/', requireWriteToken(WRITE_TOKEN), (c) => c.text('written'))
  const statusOf = async (authorization: string) =>
    (await app.request('/', { method: 'POST', headers: { authorization } })).status
  expect(await statusOf('Bearer new-token')).toBe(200)
  expect(await statusOf('bearer old-token')).toBe(200)
  for (const wrong of ['Bearer new-token old-token', 'Bearer other', 'Bearer ', '', 'Bearer new-token ']) {
    expect([wrong, await statusOf(wrong)]).toEqual([wrong, wrong.trim() === 'Bearer new-token' ? 200 : 401])
  }
})

test.each([
  // HOST, token, ALLOW_OPEN_WRITES, refuses to start, warns
  ['127.0.0.1', undefined, false, false, false],
  ['127.1.2.3', undefined, false, false, false],
  ['localhost', undefined, false, false, false],
  ['::1', undefined, false, false, false],
  ['127.0.0.1.example', undefined, false, true, false],
  ['0.0.0.0', undefined, false, true, false],
  ['::', undefined, false, true, false],
  ['0.0.0.0', undefined, true, false, true],
  ['0.0.0.0', 'x'.repeat(16), false, false, false],
  ['0.0.0.0', 'x'.repeat(16), true, false, false],
  ['0.0.0.0', 'x'.repeat(15), false, true, false],
  ['0.0.0.0', 'x'.repeat(15), true, true, false],
  ['0.0.0.0', `${'x'.repeat(16)} short`, false, true, false],
  ['127.0.0.1', 'short', false, false, false],
])(
  'with HOST %s, token %s and ALLOW_OPEN_WRITES %s, the service refuses to start (%s) or warns (%s)',
  (HOST, token, ALLOW_OPEN_WRITES, isRefused, isWarned) => {
    const WRITE_TOKEN = token === undefined ? undefined : toWriteToken(token)
    const lines: string[] = []
    const log = pino({}, { write: (line) => lines.push(line) })
    const check = () => assertWritesProtected({ HOST, WRITE_TOKEN, ALLOW_OPEN_WRITES }, log)
    if (isRefused) expect(check).toThrow(UsageError)
    else check()
    expect(lines).toHaveLength(isWarned ? 1 : 0)
  },
)

test('a service without WRITE_TOKEN warns if it listens beyond loopback', () => {
  const lines: object[] = []
  const log = pino({}, { write: (line) => lines.push(JSON.parse(line)) })
  checkWriteToken({ HOST: '127.0.0.1', WRITE_TOKEN: undefined }, log)
  checkWriteToken({ HOST: '0.0.0.0', WRITE_TOKEN: toWriteToken('x'.repeat(16)) }, log)
  expect(lines).toEqual([])
  checkWriteToken({ HOST: '0.0.0.0', WRITE_TOKEN: undefined }, log)
  expect(() => checkWriteToken({ HOST: '::', WRITE_TOKEN: toWriteToken('short-one') }, log)).toThrow(
    new UsageError('WRITE_TOKEN is too short: with HOST "::", it must have at least 16 characters'),
  )
  expect(lines).toMatchObject([{ level: 40, host: '0.0.0.0' }])
})

test('without WRITE_TOKEN, private data is open on loopback or if open writes are allowed, and closed otherwise', () => {
  const tokenOf = (HOST: string, token?: string, ALLOW_OPEN_WRITES = false) => {
    const WRITE_TOKEN = token === undefined ? undefined : toWriteToken(token)
    return privateToken({ HOST, WRITE_TOKEN, ALLOW_OPEN_WRITES })?.sent.reveal()
  }
  expect(tokenOf('127.0.0.1')).toBeUndefined()
  expect(tokenOf('0.0.0.0', undefined, true)).toBeUndefined()
  expect(tokenOf('0.0.0.0', 'secret')).toBe('secret')
  expect(tokenOf('127.0.0.1', 'secret')).toBe('secret')
  expect(tokenOf('0.0.0.0')).toMatch(/.{36}/)
  expect(tokenOf('0.0.0.0')).not.toBe(tokenOf('0.0.0.0'))
})
