import { pino } from 'pino'
import { expect, test } from 'vitest'
import { UsageError } from '../runtime/command-line.ts'
import { loadSettings } from '../runtime/settings.ts'
import { assertWritesProtected, privateToken, warnIfUnprotected, writeSettings } from './write-token.ts'

const load = (env: Record<string, string>) => loadSettings(writeSettings, { args: [], env })

test('writes are open by default, but only on loopback', () => {
  expect(load({})).toEqual({ ALLOW_OPEN_WRITES: false })
  expect(load({ ALLOW_OPEN_WRITES: '1', WRITE_TOKEN: 'a~!' })).toEqual({ ALLOW_OPEN_WRITES: true, WRITE_TOKEN: 'a~!' })
})

test.each([
  ['WRITE_TOKEN', 'a b'],
  ['WRITE_TOKEN', 'é'],
  ['ALLOW_OPEN_WRITES', 'yes'],
])('%s=%s is rejected', (name, value) => {
  expect(() => load({ [name]: value })).toThrow(UsageError)
})

test.each([
  // host, token, allowed: rejected, warned
  ['127.0.0.1', undefined, false, false, false],
  ['127.1.2.3', undefined, false, false, false],
  ['localhost', undefined, false, false, false],
  ['::1', undefined, false, false, false],
  ['127.0.0.1.example', undefined, false, true, false],
  ['0.0.0.0', undefined, false, true, false],
  ['::', undefined, false, true, false],
  ['0.0.0.0', undefined, true, false, true],
  ['0.0.0.0', 'secret', false, false, false],
  ['0.0.0.0', 'secret', true, false, false],
])(
  'HOST %s, token %s, open writes allowed %s: refused %s, warned %s',
  (HOST, WRITE_TOKEN, ALLOW_OPEN_WRITES, isRefused, isWarned) => {
    const lines: string[] = []
    const log = pino({}, { write: (line) => lines.push(line) })
    const check = () => assertWritesProtected({ HOST, WRITE_TOKEN, ALLOW_OPEN_WRITES }, log)
    if (isRefused) expect(check).toThrow(UsageError)
    else check()
    expect(lines).toHaveLength(isWarned ? 1 : 0)
  },
)

test('a service whose upstreams are open warns if it listens beyond loopback', () => {
  const lines: object[] = []
  const log = pino({}, { write: (line) => lines.push(JSON.parse(line)) })
  warnIfUnprotected({ HOST: '127.0.0.1', WRITE_TOKEN: undefined }, log)
  warnIfUnprotected({ HOST: '0.0.0.0', WRITE_TOKEN: 'secret' }, log)
  expect(lines).toEqual([])
  warnIfUnprotected({ HOST: '0.0.0.0', WRITE_TOKEN: undefined }, log)
  expect(lines).toMatchObject([{ level: 40, host: '0.0.0.0' }])
})

test('without WRITE_TOKEN, private data is open on loopback or if open writes are allowed, and closed otherwise', () => {
  const tokenOf = (HOST: string, WRITE_TOKEN?: string, ALLOW_OPEN_WRITES = false) =>
    privateToken({ HOST, WRITE_TOKEN, ALLOW_OPEN_WRITES })
  expect(tokenOf('127.0.0.1')).toBeUndefined()
  expect(tokenOf('0.0.0.0', undefined, true)).toBeUndefined()
  expect(tokenOf('0.0.0.0', 'secret')).toBe('secret')
  expect(tokenOf('127.0.0.1', 'secret')).toBe('secret')
  expect(tokenOf('0.0.0.0')).toMatch(/.{36}/)
  expect(tokenOf('0.0.0.0')).not.toBe(tokenOf('0.0.0.0'))
})
