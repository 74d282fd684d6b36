import { Hono } from 'hono'
import { exportJWK, generateKeyPair, type JWTVerifyGetKey, SignJWT } from 'jose'
import { beforeAll, expect, test, vi } from 'vitest'
import { UnavailableError } from '../../shared/runtime/unavailable-error.ts'
import { useFakeClock } from '../../shared/testing/fake-clock.ts'
import type { PlayEnv } from '../play-env.ts'
import { createAuthenticate, requireOwnId } from './authenticate.ts'
import { parseKeySet } from './key-set.ts'
import { createTokenVerifier } from './verify-token.ts'

const provider = { issuer: 'issuer', audience: 'edge' }
let keys: JWTVerifyGetKey
let privateKey: CryptoKey
beforeAll(async () => {
  const pair = await generateKeyPair('ES256')
  privateKey = pair.privateKey
  keys = await parseKeySet(JSON.stringify({ keys: [await exportJWK(pair.publicKey)] }))
})

function sign(claims: object): Promise<string> {
  return new SignJWT({ iss: 'issuer', aud: 'edge', sub: 'alice', ...claims })
    .setProtectedHeader({ alg: 'ES256' })
    .sign(privateKey)
}

function setUp() {
  useFakeClock()
  const held: { keys: JWTVerifyGetKey | undefined } = { keys }
  const verifying = createTokenVerifier({ ...provider, jwks: { keys: () => held.keys, refresh: async () => {} } })
  const verify = vi.fn(verifying)
  const rejected: string[] = []
  const onRejected = (reason: string) => rejected.push(reason)
  const app = new Hono<PlayEnv>()
  app.onError((error, c) => c.text(error.message, error instanceof UnavailableError ? 503 : 500))
  app.post('/play/:userId', createAuthenticate({ verify, onRejected }), requireOwnId({ onRejected }), (c) =>
    c.json(c.get('viewer') ?? null),
  )
  const play = (token: string, userId = 'alice') =>
    app.request(`/play/${userId}`, { method: 'POST', headers: { authorization: `Bearer ${token}` } })
  return { play, verify, held, rejected }
}

const inSeconds = (seconds: number) => Math.floor(Date.now() / 1_000) + seconds

test('a verified token is trusted for exactly 60 s, even if its key is removed in the meantime', async () => {
  const { play, verify, held } = setUp()
  const token = await sign({ exp: inSeconds(3_600) })
  expect((await play(token)).status).toBe(200)
  held.keys = await parseKeySet(JSON.stringify({ keys: [await exportJWK((await generateKeyPair('ES256')).publicKey)] }))
  await vi.advanceTimersByTimeAsync(59_999)
  expect((await play(token)).status).toBe(200)
  expect(verify).toHaveBeenCalledTimes(1)
  await vi.advanceTimersByTimeAsync(1)
  expect((await play(token)).status).toBe(401)
  expect(verify).toHaveBeenCalledTimes(2)
})

test('a token is not cached beyond its expiry', async () => {
  const { play, verify } = setUp()
  vi.setSystemTime(1_000_000_000)
  const token = await sign({ exp: inSeconds(10) })
  expect((await play(token)).status).toBe(200)
  await vi.advanceTimersByTimeAsync(9_999)
  expect((await play(token)).status).toBe(200)
  expect(verify).toHaveBeenCalledTimes(1)
  await vi.advanceTimersByTimeAsync(1)
  expect((await play(token)).status).toBe(200)
  expect(verify).toHaveBeenCalledTimes(2)
  await vi.advanceTimersByTimeAsync(5_000)
  expect((await play(token)).status).toBe(401)
})

test('a cached token does not allow plays as another user', async () => {
  const { play, rejected } = setUp()
  const token = await sign({ exp: inSeconds(60) })
  expect((await play(token)).status).toBe(200)
  expect((await play(token, 'bob')).status).toBe(403)
  expect(rejected).toEqual(['user'])
})

test.each([
  ['gold', { id: 'alice', plan: 'gold' }],
  [7, { id: 'alice' }],
  [undefined, { id: 'alice' }],
])('with the claim plan=%s, the viewer is %j', async (plan, viewer) => {
  const { play } = setUp()
  const response = await play(await sign({ exp: inSeconds(60), plan }))
  expect(await response.json()).toEqual(viewer)
})

test.each([
  [{ sub: 8 }, 401, 'claims'],
  [{ sub: '' }, 403, 'subject'],
  [{ sub: '-' }, 403, 'subject'],
  [{ exp: 'soon' }, 401, 'claims'],
  [{ iat: 'x' }, 401, 'claims'],
  [{ nbf: 'x' }, 401, 'claims'],
  [{ exp: 1 }, 401, 'expired'],
])('a token with the claims %j returns %i', async (claims, status, reason) => {
  const { play, rejected } = setUp()
  const response = await play(await sign({ exp: inSeconds(60), ...claims }))
  expect([response.status, rejected]).toEqual([status, [reason]])
})

test("if a token's time claim is not a number, the response says that times must be numbers", async () => {
  const { play } = setUp()
  const response = await play(await sign({ exp: inSeconds(60), iat: 'x' }))
  expect(await response.text()).toContain('its times must be numbers')
})

test("rejected tokens are not cached, and an expired token's signature is not verified", async () => {
  const { play, verify, held, rejected } = setUp()
  held.keys = () => expect.unreachable('the key is not needed')
  const expired = await sign({ exp: inSeconds(-6) })
  for (let n = 1; n <= 3; n += 1) {
    expect((await play(expired)).status).toBe(401)
    expect(verify).toHaveBeenCalledTimes(n)
  }
  expect(rejected).toEqual(['expired', 'expired', 'expired'])
})

test('verifications beyond 256 in flight are refused with 503, and the others succeed', async () => {
  const { play } = setUp()
  const tokens = await Promise.all(Array.from({ length: 300 }, (_, n) => sign({ exp: inSeconds(60), n })))
  const statuses = (await Promise.all(tokens.map((token) => play(token)))).map(({ status }) => status)
  expect(statuses.filter((status) => status === 200)).toHaveLength(256)
  expect(statuses.filter((status) => status === 503)).toHaveLength(44)
})
