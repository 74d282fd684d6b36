import { describe, expect, test } from 'vitest'
import {
  corsOrigins,
  describeSettings,
  duration,
  eventsMaxAge,
  host,
  loadSettings,
  logLevel,
  natsUrl,
  origins,
  port,
  SettingsError,
  wantsHelp,
} from './settings.ts'

const shape = {
  PORT: port(8080),
  HOST: host,
  LOG_LEVEL: logLevel,
  NATS_URL: natsUrl.optional(),
  METADATA_URL: origins('http://127.0.0.1:8081', 'Where metadata is'),
  CATALOGUE_TTL: duration('5s', 'How long what was read is used'),
  CORS_ORIGINS: corsOrigins,
}

test('what nobody sets has its default', () => {
  expect(load()).toEqual({
    PORT: 8080,
    HOST: '127.0.0.1',
    LOG_LEVEL: 'info',
    METADATA_URL: ['http://127.0.0.1:8081'],
    CATALOGUE_TTL: 5_000,
  })
})

test('the environment beats the default, and a flag beats the environment', () => {
  expect(load({ PORT: '1', HOST: '::1', UNKNOWN: 'x' })).toMatchObject({ PORT: 1, HOST: '::1' })
  expect(load({ PORT: '1', HOST: '::1' }, '--port', '2', '--host=0.0.0.0')).toMatchObject({ PORT: 2, HOST: '0.0.0.0' })
  expect(load({}, '--port=0')).toMatchObject({ PORT: 0 })
})

test('what is empty counts as not set', () => {
  expect(load({ PORT: '', HOST: '', NATS_URL: '', CATALOGUE_TTL: '' })).toEqual(load())
  expect(load({ PORT: '1' }, '--port=')).toMatchObject({ PORT: 1 })
})

test.each([
  ['500ms', 500],
  ['5s', 5_000],
  ['1.5s', 1_500],
  ['2m', 120_000],
  ['3h', 10_800_000],
  ['1d', 86_400_000],
])('the duration %s is %d ms', (text, ms) => {
  expect(load({ CATALOGUE_TTL: text })).toMatchObject({ CATALOGUE_TTL: ms })
})

test('instances are origins, separated by commas', () => {
  const text = 'http://10.0.0.1:8081, https://metadata.example/,http://[::1]:1'
  expect(load({ METADATA_URL: text })).toMatchObject({
    METADATA_URL: ['http://10.0.0.1:8081', 'https://metadata.example', 'http://[::1]:1'],
  })
})

test('pages of no other origin may read answers, unless they are named', () => {
  expect(load().CORS_ORIGINS).toBeUndefined()
  expect(load({ CORS_ORIGINS: 'https://A.example:443, http://localhost:3000' })).toMatchObject({
    CORS_ORIGINS: ['https://a.example', 'http://localhost:3000'],
  })
})

test('NATS servers are separated by commas, with or without a scheme and a port', () => {
  expect(load({ NATS_URL: 'nats://a:4222, tls://b,c:1' })).toMatchObject({
    NATS_URL: ['nats://a:4222', 'tls://b', 'c:1'],
  })
})

describe('one line names', () => {
  test.each([
    ['--verbose'],
    ['--verbose', '1'],
    ['-p', '1'],
    ['8080'],
    ['--port'],
    ['--port', '-1'],
    ['--host', '--port', '1'],
  ])('the flag of %s', (...argv) => {
    expect(() => load({}, ...argv)).toThrow(SettingsError)
    expect(problemOf({}, ...argv)).toMatch(new RegExp(`^[^\\n]*'${argv[0]}[^\\n]*--help[^\\n]*$`))
  })

  test.each([
    ['PORT', 'x'],
    ['PORT', '-1'],
    ['PORT', '65536'],
    ['PORT', '80.5'],
    ['PORT', ' '],
    ['LOG_LEVEL', 'loud'],
    ['NATS_URL', 'http://a'],
    ['NATS_URL', 'a b'],
    ['NATS_URL', 'a,'],
    ['NATS_URL', 'nats://a/path'],
    ['METADATA_URL', 'localhost:8081'],
    ['METADATA_URL', 'ftp://a'],
    ['METADATA_URL', 'http://a/path'],
    ['METADATA_URL', 'http://a?query'],
    ['METADATA_URL', 'http://a,'],
    ['CORS_ORIGINS', '*'],
    ['CORS_ORIGINS', 'null'],
    ['CORS_ORIGINS', 'http://a, http://b/page'],
    ['CATALOGUE_TTL', '5'],
    ['CATALOGUE_TTL', '-5s'],
    ['CATALOGUE_TTL', '5 s'],
    ['CATALOGUE_TTL', '5s\n'],
    ['CATALOGUE_TTL', '5w'],
  ])('%s where it is %j', (name, value) => {
    expect(() => load({ [name]: value })).toThrow(SettingsError)
    expect(problemOf({ [name]: value })).toMatch(/^[A-Z_]+ is "[^\n]*": it must be [^\n]+$/)
    expect(problemOf({ [name]: value })).toContain(`${name} is ${JSON.stringify(value)}`)
  })

  test('a value, but not a password in it', () => {
    expect(problemOf({ NATS_URL: 'nats://user:secret@a/path' })).toContain('NATS_URL is "nats://…@a/path"')
    expect(problemOf({ METADATA_URL: 'http://user:secret@a' })).toContain('METADATA_URL is "http://…@a"')
  })

  test('a flag by its variable where its value is invalid', () => {
    expect(problemOf({}, '--port', 'x')).toBe('PORT is "x": it must be a port, 0 to 65535')
  })

  test('what has to be set and is not', () => {
    const load = () => loadSettings({ NATS_URL: natsUrl }, { argv: [], env: {} })
    expect(load).toThrow(SettingsError)
    expect(load).toThrow(/^NATS_URL is not set: it must be [^\n]+$/)
  })
})

test('--help describes what is optional, wherever its description stands', () => {
  expect(describeSettings('/somewhere/play/main.ts', { EVENTS_MAX_AGE: eventsMaxAge })).toMatch(
    /EVENTS_MAX_AGE +How long/,
  )
})

test('--help lists every setting with what it means and its default', () => {
  expect(wantsHelp({ argv: ['--port', '1', '--help'], env: {} })).toBe(true)
  expect(wantsHelp({ argv: ['-h'], env: {} })).toBe(true)
  expect(wantsHelp({ argv: ['--port', '1'], env: {} })).toBe(false)
  expect(describeSettings('/somewhere/play/main.ts', shape).split('\n')).toEqual([
    'Usage: node play/main.ts [--port N] [--host ADDR] [--help]',
    '',
    'A flag beats the environment variable, which beats the default.',
    '',
    '  --port, PORT   Port to listen on; 0 takes a free one (default: 8080)',
    '  --host, HOST   Address to listen on (default: 127.0.0.1)',
    '  LOG_LEVEL      Least level that is logged (default: info)',
    '  NATS_URL       NATS servers, separated by commas (default: none)',
    '  METADATA_URL   Where metadata is (default: http://127.0.0.1:8081)',
    '  CATALOGUE_TTL  How long what was read is used (default: 5s)',
    '  CORS_ORIGINS   Origins whose pages may read what play answers, separated by commas (default: none)',
  ])
})

function load(env: Record<string, string> = {}, ...argv: string[]) {
  return loadSettings(shape, { argv, env })
}

function problemOf(env: Record<string, string>, ...argv: string[]): string {
  try {
    return `accepted as ${JSON.stringify(load(env, ...argv))}`
  } catch (error) {
    return (error as Error).message
  }
}
