import { setImmediate as turn } from 'node:timers/promises'
import { exportJWK, generateKeyPair } from 'jose'
import { pino } from 'pino'
import { beforeAll, expect, test, vi } from 'vitest'
import { useFakeClock } from '../../shared/testing/fake-clock.ts'
import { createJwksCache } from './jwks-cache.ts'

const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS
let good: string
beforeAll(async () => {
  const { publicKey } = await generateKeyPair('ES256')
  good = JSON.stringify({ keys: [await exportJWK(publicKey)] })
})

/** A cache whose provider publishes `text`, or fails if `text` is undefined. */
async function setUp(maxAgeMs?: number, text: string | undefined = good) {
  useFakeClock()
  const lines: string[] = []
  const provider = { text: text as string | undefined, fetches: 0 }
  const outcomes: string[] = []
  const jwks = createJwksCache({
    async fetch() {
      provider.fetches += 1
      if (provider.text === undefined) throw new Error('no connection')
      return { text: provider.text, maxAgeMs }
    },
    log: pino({}, { write: (line) => lines.push(line) }),
    onFetch: (outcome) => outcomes.push(outcome),
  })
  /** Waits until every fetch has ended: importing keys takes real time, which no fake clock controls. */
  async function settle(): Promise<void> {
    for (let n = 0; n < 1_000_000 && outcomes.length < provider.fetches; n += 1) await turn()
  }
  async function advance(ms: number): Promise<void> {
    await vi.advanceTimersByTimeAsync(ms)
    await settle()
  }
  jwks.start()
  await settle()
  return { jwks, provider, lines, outcomes, advance }
}

test.each([
  [undefined, 5 * MINUTE_MS],
  [20 * MINUTE_MS, 10 * MINUTE_MS],
  [0, MINUTE_MS / 2],
  [365 * 24 * HOUR_MS, HOUR_MS / 2],
])('keys with a max-age of %s ms are fetched again after %i ms', async (maxAgeMs, refreshMs) => {
  const { jwks, provider, advance } = await setUp(maxAgeMs)
  expect([jwks.state(), provider.fetches]).toEqual(['up', 1])
  await advance(refreshMs - 1)
  expect(provider.fetches).toBe(1)
  await advance(1)
  expect(provider.fetches).toBe(2)
  await jwks[Symbol.asyncDispose]()
})

test('while the provider is down, the last good keys are used for 24 h and no longer', async () => {
  const { jwks, provider, lines, advance } = await setUp()
  const keys = jwks.keys()
  provider.text = undefined
  await advance(24 * HOUR_MS - 1)
  expect(jwks.keys()).toBe(keys)
  expect([jwks.state(), jwks.reason()]).toEqual(['down', 'no connection'])
  await advance(1)
  expect(jwks.keys()).toBeUndefined()
  expect(lines).toHaveLength(1)
  provider.text = good
  await advance(30_000)
  expect([jwks.state(), jwks.reason(), jwks.keys()]).toEqual(['up', undefined, expect.any(Function)])
  expect(lines).toHaveLength(2)
  await jwks[Symbol.asyncDispose]()
})

test('garbage does not replace good keys', async () => {
  const { jwks, provider, outcomes, advance } = await setUp()
  const keys = jwks.keys()
  for (const garbage of ['<html>', '{"keys":[]}', '{"keys":[{"kty":"oct","k":"c2VjcmV0"}]}']) {
    provider.text = garbage
    await advance(5 * MINUTE_MS)
    expect([jwks.state(), jwks.keys() === keys]).toEqual(['down', true])
  }
  expect(outcomes.filter((outcome) => outcome === 'succeeded')).toHaveLength(1)
  await jwks[Symbol.asyncDispose]()
})

test('without keys, the fetch is retried after 1, 2, 4, 8, 16 and then every 30 s', async () => {
  const { jwks, provider, advance } = await setUp(undefined, '<html>')
  expect([jwks.state(), jwks.keys(), jwks.ageMs()]).toEqual(['down', undefined, undefined])
  for (const [n, seconds] of [1, 2, 4, 8, 16, 30, 30].entries()) {
    await advance(seconds * 1_000 - 1)
    expect(provider.fetches).toBe(n + 1)
    await advance(1)
  }
  provider.text = good
  await advance(30_000)
  expect([jwks.state(), jwks.keys()]).toEqual(['up', expect.any(Function)])
  await jwks[Symbol.asyncDispose]()
})

test('tokens with unknown keys trigger at most one fetch every 30 s, which they share', async () => {
  const { jwks, provider, advance } = await setUp()
  await Promise.all(Array.from({ length: 1_000 }, () => jwks.refresh()))
  expect(provider.fetches).toBe(2)
  await advance(29_999)
  await jwks.refresh()
  expect(provider.fetches).toBe(2)
  await advance(1)
  await jwks.refresh()
  expect(provider.fetches).toBe(3)
  await jwks[Symbol.asyncDispose]()
})

test('a failed fetch for an unknown key is retried within 30 s', async () => {
  const { jwks, provider, advance } = await setUp()
  provider.text = undefined
  await jwks.refresh()
  expect([jwks.state(), provider.fetches]).toEqual(['down', 2])
  provider.text = good
  await advance(30_000)
  expect([jwks.state(), provider.fetches]).toEqual(['up', 3])
  await jwks[Symbol.asyncDispose]()
})
