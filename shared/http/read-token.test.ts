import { Hono } from 'hono'
import { describe, expect, test } from 'vitest'
import { UsageError } from '../runtime/command-line.ts'
import { toSecret } from '../runtime/secret.ts'
import { loadSettings } from '../runtime/settings.ts'
import type { AppEnv } from './app-env.ts'
import { readToken, requireReadToken } from './read-token.ts'
import { toWriteToken } from './write-token.ts'

const load = (value: string) => loadSettings({ READ_TOKEN: readToken }, { args: [], env: { READ_TOKEN: value } })
const TOKEN = 'sixteen-letters!'

test('READ_TOKEN must have at least 16 characters and no spaces', () => {
  expect(load('')).toEqual({})
  expect(load(TOKEN).READ_TOKEN?.reveal()).toBe(TOKEN)
  for (const invalid of [TOKEN.slice(1), `${TOKEN} `, `${TOKEN}é`]) expect(() => load(invalid)).toThrow(UsageError)
})

describe('a read that names users', () => {
  const statusFor = async (token: string | undefined, authorization: string) => {
    const guard = requireReadToken(token ? toSecret(token) : undefined, toWriteToken('write-1 write-2'))
    const app = new Hono<AppEnv>().get('/', guard, (c) => c.text(''))
    return (await app.request('/', { headers: { authorization } })).status
  }

  test.each([
    [`Bearer ${TOKEN}`, 200],
    [`bearer ${TOKEN}`, 200],
    ['Bearer write-1', 200],
    ['Bearer write-2', 200],
    [`Bearer ${TOKEN}x`, 401],
    ['Bearer write-1 write-2', 401],
    ['', 401],
  ])('with the header "%s" returns %i if READ_TOKEN is set', async (authorization, status) => {
    expect(await statusFor(TOKEN, authorization)).toBe(status)
  })

  test('needs no token if READ_TOKEN is not set', async () => {
    expect(await statusFor(undefined, '')).toBe(200)
  })
})
