import { Hono } from 'hono'
import { expect, test } from 'vitest'
import { UsageError } from '../runtime/command-line.ts'
import { loadSettings } from '../runtime/settings.ts'
import { allowReadToken, readToken } from './read-token.ts'

const load = (value: string) => loadSettings({ READ_TOKEN: readToken }, { args: [], env: { READ_TOKEN: value } })
const TOKEN = 'sixteen-letters!'

test('READ_TOKEN has at least 16 characters without spaces', () => {
  expect(load('')).toEqual({})
  expect(load(TOKEN)).toEqual({ READ_TOKEN: TOKEN })
  for (const invalid of [TOKEN.slice(1), `${TOKEN} `, `${TOKEN}é`]) expect(() => load(invalid)).toThrow(UsageError)
})

test.each([
  [TOKEN, `Bearer ${TOKEN}`, 200],
  [TOKEN, `bearer ${TOKEN}`, 200],
  [TOKEN, `Bearer ${TOKEN}x`, 401],
  [TOKEN, '', 401],
  [undefined, 'Bearer undefined', 401],
])('with READ_TOKEN %s, the header %s is answered %i', async (token, authorization, status) => {
  const app = new Hono().get(
    '/',
    allowReadToken(token, async (c) => c.text('', 401)),
    (c) => c.text(''),
  )
  expect((await app.request('/', { headers: { authorization } })).status).toBe(status)
})
