import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { UsageError } from './command-line.ts'
import {
  count,
  dataDir,
  describeSettings,
  duration,
  host,
  loadSettings,
  logLevel,
  optionalDuration,
  optionalOrigins,
  origins,
  port,
} from './settings.ts'

const shape = {
  PORT: port(8080),
  HOST: host,
  LOG_LEVEL: logLevel,
  DATA_DIR: dataDir,
  UPSTREAM_URL: origins('http://127.0.0.1:8081', 'Address of the upstream'),
  CACHE_TTL: duration('5s', 'How long a cached value is fresh'),
  MAX_AGE: optionalDuration('How long a value is kept'),
  CORS_ORIGINS: optionalOrigins('Origins that may read responses'),
}

test('a setting that is not set has its default', () => {
  expect(load()).toEqual({
    PORT: 8080,
    HOST: '127.0.0.1',
    LOG_LEVEL: 'info',
    DATA_DIR: './data',
    UPSTREAM_URL: ['http://127.0.0.1:8081'],
    CACHE_TTL: 5_000,
  })
})

test('flags take precedence over environment variables, which take precedence over defaults', () => {
  expect(load({ PORT: '1', HOST: '::1', UNKNOWN: 'x' })).toMatchObject({ PORT: 1, HOST: '::1' })
  expect(load({ PORT: '1', HOST: '::1' }, '--port', '2', '--host=0.0.0.0')).toMatchObject({ PORT: 2, HOST: '0.0.0.0' })
  expect(load({}, '--port=0')).toMatchObject({ PORT: 0 })
})

test('an empty value is treated as unset', () => {
  expect(load({ PORT: '', HOST: '', CACHE_TTL: '', MAX_AGE: '', CORS_ORIGINS: '' })).toEqual(load())
  expect(load({ PORT: '1' }, '--port=')).toMatchObject({ PORT: 1 })
})

test('a count is a positive integer up to its maximum', () => {
  const shape = { MAX: count(5, 'Maximum', 1_000) }
  const load = (MAX?: string) => loadSettings(shape, { args: [], env: { MAX } })
  expect([load(), load('1'), load('1000')]).toEqual([{ MAX: 5 }, { MAX: 1 }, { MAX: 1_000 }])
  for (const value of ['0', '1001', '-1', '1.5', 'many']) expect(() => load(value)).toThrow('a number, 1 to 1000')
})

test('the highest port is 65535', () => {
  expect(load({ PORT: '65535' })).toMatchObject({ PORT: 65_535 })
})

test.each([
  ['500ms', 500],
  ['5s', 5_000],
  ['1.5s', 1_500],
  ['2m', 120_000],
  ['3h', 10_800_000],
  ['1d', 86_400_000],
])('the duration %s is %d ms', (text, ms) => {
  expect(load({ CACHE_TTL: text, MAX_AGE: text })).toMatchObject({ CACHE_TTL: ms, MAX_AGE: ms })
})

test('origins are separated by commas and normalized', () => {
  const text = 'http://10.0.0.1:8081, https://upstream.example/,http://[::1]:1'
  expect(load({ UPSTREAM_URL: text })).toMatchObject({
    UPSTREAM_URL: ['http://10.0.0.1:8081', 'https://upstream.example', 'http://[::1]:1'],
  })
})

test('optional origins are undefined unless they are set', () => {
  expect(load().CORS_ORIGINS).toBeUndefined()
  expect(load({ CORS_ORIGINS: 'https://A.example:443, http://localhost:3000' })).toMatchObject({
    CORS_ORIGINS: ['https://a.example', 'http://localhost:3000'],
  })
})

describe('the error is one line that contains', () => {
  test.each([
    ['--verbose'],
    ['--verbose', '1'],
    ['-p', '1'],
    ['8080'],
    ['--port'],
    ['--port', '-1'],
    ['--host', '--port', '1'],
  ])('the invalid argument %s', (...args) => {
    expect(errorOf({}, ...args)).toMatch(new RegExp(`^[^\\n]*'${args[0]}[^\\n]*--help[^\\n]*$`))
  })

  test.each([
    ['PORT', 'x'],
    ['PORT', '-1'],
    ['PORT', '65536'],
    ['PORT', '80.5'],
    ['PORT', ' '],
    ['LOG_LEVEL', 'loud'],
    ['UPSTREAM_URL', 'localhost:8081'],
    ['UPSTREAM_URL', 'ftp://a'],
    ['UPSTREAM_URL', 'http://a/path'],
    ['UPSTREAM_URL', 'http://a?query'],
    ['UPSTREAM_URL', 'http://a#hash'],
    ['UPSTREAM_URL', 'http://a,'],
    ['CORS_ORIGINS', '*'],
    ['CORS_ORIGINS', 'null'],
    ['CORS_ORIGINS', 'http://a, http://b/page'],
    ['CACHE_TTL', '5'],
    ['CACHE_TTL', '-5s'],
    ['CACHE_TTL', '5 s'],
    ['CACHE_TTL', '5s\n'],
    ['CACHE_TTL', '5w'],
    ['MAX_AGE', '5w'],
  ])('the invalid setting %s=%j', (name, value) => {
    expect(errorOf({ [name]: value })).toMatch(/^[A-Z_]+ is "[^\n]*": it must be [^\n]+$/)
    expect(errorOf({ [name]: value })).toContain(`${name} is ${JSON.stringify(value)}`)
  })

  test('an invalid value, with the password redacted', () => {
    expect(errorOf({ UPSTREAM_URL: 'http://user:secret@a' })).toContain('UPSTREAM_URL is "http://…@a"')
  })

  test('the environment variable for a flag with an invalid value', () => {
    expect(errorOf({}, '--port', 'x')).toBe('PORT is "x": it must be a port, 0 to 65535')
  })
})

test("--help shows an optional setting's description", () => {
  expect(describeSettings('/somewhere/play/main.ts', { MAX_AGE: shape.MAX_AGE })).toMatch(/MAX_AGE +How long/)
  const wrapped = z.string().meta({ description: 'Described before optional()' }).optional()
  expect(describeSettings('/somewhere/play/main.ts', { WRAPPED: wrapped })).toMatch(/WRAPPED +Described before/)
})

test('--help lists each setting with its description and default', () => {
  expect(describeSettings('/somewhere/play/main.ts', shape).split('\n')).toEqual([
    'Usage: node play/main.ts [--port N] [--host ADDR] [--help] [--version]',
    '',
    'Flags take precedence over environment variables, which take precedence over defaults.',
    '',
    '  --port, PORT  Port to listen on; 0 picks a free one (default: 8080)',
    '  --host, HOST  Address to listen on (default: 127.0.0.1)',
    '  LOG_LEVEL     Minimum log level (default: info)',
    '  DATA_DIR      Directory for data on disk (default: ./data)',
    '  UPSTREAM_URL  Address of the upstream (default: http://127.0.0.1:8081)',
    '  CACHE_TTL     How long a cached value is fresh (default: 5s)',
    '  MAX_AGE       How long a value is kept (default: none)',
    '  CORS_ORIGINS  Origins that may read responses (default: none)',
  ])
})

function load(env: Record<string, string> = {}, ...args: string[]) {
  return loadSettings(shape, { args, env })
}

function errorOf(env: Record<string, string>, ...args: string[]): string {
  try {
    return `accepted as ${JSON.stringify(load(env, ...args))}`
  } catch (error) {
    if (error instanceof UsageError) return error.message
    throw error
  }
}
