import { expect, test } from 'vitest'
import { loadSettings } from '../../shared/runtime/settings.ts'
import { databasePool, databaseUrl, verdictsMaxAge } from './settings.ts'

const load = (DATABASE_URL: string) =>
  loadSettings({ DATABASE_URL: databaseUrl, DATABASE_POOL: databasePool }, { args: [], env: { DATABASE_URL } })
    .DATABASE_URL

test.each([
  ['postgres://127.0.0.1/counts', ['postgres://127.0.0.1/counts']],
  ['postgresql://u:p%2Fw@db:5433/counts?sslmode=require', ['postgresql://u:p%2Fw@db:5433/counts?sslmode=require']],
  ['postgres://u@[::1]:5432/counts', ['postgres://u@[::1]:5432/counts']],
  [
    'postgres://u:p@a:1,b/counts?target_session_attrs=read-write&sslmode=disable',
    ['postgres://u:p@a:1/counts?sslmode=disable', 'postgres://u:p@b/counts?sslmode=disable'],
  ],
])('%s is split into one URL per host', (url, urls) => {
  expect(load(url)?.map((each) => each.reveal())).toEqual(urls)
})

test('a URL is printed without its credentials', () => {
  expect(load('postgres://u:s3cr3t@db:5433,other/counts?sslmode=require&user=s3cr3t')?.join()).toBe(
    'db:5433/counts,other/counts',
  )
})

test('without DATABASE_URL, there is no database', () => {
  expect(load('')).toBeUndefined()
})

test.each([
  'postgres',
  'mysql://127.0.0.1/counts',
  'postgres://127.0.0.1',
  'postgres://127.0.0.1/',
  'postgres://127.0.0.1:port/counts',
  'postgres://a,,b/counts',
  'postgres://a/counts?target_session_attrs=standby',
])('%s causes a usage error that states the expected form', (url) => {
  expect(() => load(url)).toThrow('it must be a Postgres URL such as postgres://user:password@127.0.0.1:5432/counts')
})

test.each([
  'postgres://u:sec/ret@a/counts',
  'postgres://u:sec@ret@a/counts',
  'postgres://u:sec,ret@a/b/c',
  'postgres://u:sec ret@a/counts',
])('the error for %s does not contain the password', (url) => {
  expect(() => load(url)).toThrow('DATABASE_URL is "postgres://…@a')
  expect(() => load(url)).not.toThrow(/sec|ret@/)
})

test('VERDICTS_MAX_AGE is 90 days by default, and must be at least an hour', () => {
  const load = (VERDICTS_MAX_AGE: string) =>
    loadSettings({ VERDICTS_MAX_AGE: verdictsMaxAge }, { args: [], env: { VERDICTS_MAX_AGE } }).VERDICTS_MAX_AGE
  expect([load(''), load('1h')]).toEqual([90 * 86_400_000, 3_600_000])
  expect(() => load('59m')).toThrow('it must be at least 1h')
})
