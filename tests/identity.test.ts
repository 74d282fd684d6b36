import { createHmac } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import type { RequestListener } from 'node:http'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Audit } from '../shared/contracts/audit.ts'
import { Readiness } from '../shared/contracts/readiness.ts'
import { SystemTrace } from '../shared/contracts/trace.ts'
import { ExplainedView, ViewNotFound } from '../shared/contracts/view-explanation.ts'
import { expectProblem } from '../shared/testing/expect-problem.ts'
import { startChild } from './harness/child.ts'
import { type Services, startEmbedded } from './harness/embedded.ts'
import { eventually } from './harness/eventually.ts'
import {
  AUDIENCE,
  createSigningKey,
  type IdentityProvider,
  type SigningKey,
  startIdentityProvider,
} from './harness/identity-provider.ts'
import { expectNoLintFindings } from './harness/lint.ts'
import { loadOpenApi } from './harness/openapi.ts'
import { getJson, metric, views } from './harness/plays.ts'
import { freePortRange } from './harness/ports.ts'
import { createRandom } from './harness/random.ts'
import { connectHttp } from './harness/raw-http.ts'
import { createTempDirectory } from './harness/temp-directory.ts'

const SEED = 20_261_122
const TOKENS = 10_000
const READ_TOKEN = 'a-token-of-operators'
const ORIGIN = 'https://tv.example'

const base64url = (text: string) => Buffer.from(text).toString('base64url')
const inSeconds = (seconds: number) => Math.floor(Date.now() / 1_000) + seconds
const bearer = (token: string) => ({ authorization: `Bearer ${token}` })

function playAs(edge: string, userId: string | undefined, headers: Record<string, string> = {}): Promise<Response> {
  const user = userId === undefined ? '' : `/user/${userId}`
  return fetch(`${edge}/play/asset/456${user}`, { method: 'POST', headers })
}

async function statusOf(edge: string, token: string): Promise<number> {
  const response = await playAs(edge, 'alice', bearer(token))
  await response.body?.cancel()
  return response.status
}

async function startEdge(provider: IdentityProvider, settings: Record<string, string> = {}) {
  const system = await startEmbedded({ ...provider.settings, ...settings })
  await eventually(async () => expect((await fetch(`${system.play.url}/readyz`)).status).toBe(200))
  return system
}

describe('on an edge with an identity provider,', () => {
  const stack = new AsyncDisposableStack()
  let provider: IdentityProvider
  let rsa: SigningKey
  let system: Services
  let edge: string
  beforeAll(async () => {
    provider = stack.use(await startIdentityProvider(['ES256', 'RS256', 'EdDSA']))
    rsa = provider.keys().find(({ alg }) => alg === 'RS256') ?? (await createSigningKey('RS256'))
    system = stack.use(await startEdge(provider, { READ_TOKEN, CORS_ORIGINS: ORIGIN }))
    edge = system.play.url
  })
  afterAll(() => stack.disposeAsync())

  const viewsOf = (userId: string) => views(system.reporting.url, 'user', userId, READ_TOKEN)

  test('a user plays with a token that the provider issued', async () => {
    const response = await playAs(edge, 'alice', bearer(await provider.issue('alice')))
    expect(response.status).toBe(200)
    expect(await response.json()).toMatchObject({ id: '456', userviews: 1 })
    await eventually(async () => expect(await viewsOf('alice')).toBe(1))
  })

  test('a play without a user id is recorded for the user in the token', async () => {
    const response = await playAs(edge, undefined, bearer(await provider.issue('bob')))
    expect(response.status).toBe(200)
    await eventually(async () => expect(await viewsOf('bob')).toBe(1))
  })

  test.each(['ES256', 'RS256', 'EdDSA'])('a token signed with %s is accepted', async (alg) => {
    const key = provider.keys().find((one) => one.alg === alg)
    expect(await statusOf(edge, await provider.sign({}, {}, key))).toBe(200)
  })

  test('the name of the authentication scheme is case-insensitive', async () => {
    const token = await provider.sign()
    for (const scheme of ['bearer', 'BEARER', 'Bearer ']) {
      expect((await playAs(edge, 'alice', { authorization: `${scheme} ${token}` })).status).toBe(200)
    }
  })

  test.each([
    ['no header', {}],
    ['another scheme', { authorization: 'Basic YWxpY2U6c2VjcmV0' }],
    ['another scheme with a comma', { authorization: 'Digest username="a", realm="b"' }],
    ['the scheme alone', { authorization: 'Bearer' }],
    ['a tab after the scheme', { authorization: 'Bearer\ttoken' }],
  ])('a play with %s gets a 401 with a plain challenge', async (_, headers: Record<string, string>) => {
    for (const userId of ['alice', undefined]) {
      const response = await playAs(edge, userId, headers)
      expect(response.headers.get('www-authenticate')).toBe('Bearer')
      await expectProblem(response, 401, ['authorization'])
    }
  })

  const invalid: Record<string, { reason: string; token: () => Promise<string> }> = {
    'signed with HS256 and the public key as the secret': {
      reason: 'algorithm',
      async token() {
        const secret = Buffer.from(JSON.stringify(rsa.publicJwk))
        const [, payload] = (await provider.sign()).split('.')
        const input = `${base64url(JSON.stringify({ alg: 'HS256', kid: rsa.kid }))}.${payload}`
        return `${input}.${createHmac('sha256', secret).update(input).digest('base64url')}`
      },
    },
    'with the algorithm none': {
      reason: 'algorithm',
      async token() {
        const [, payload] = (await provider.sign()).split('.')
        return `${base64url('{"alg":"none"}')}.${payload}.`
      },
    },
    'with the kid of a key for another algorithm': { reason: 'key', token: () => provider.sign({}, { kid: rsa.kid }) },
    'from another issuer': { reason: 'issuer', token: () => provider.sign({ iss: 'https://other.example' }) },
    'without an issuer': { reason: 'issuer', token: () => provider.sign({ iss: undefined }) },
    'for another audience': { reason: 'audience', token: () => provider.sign({ aud: 'other' }) },
    'without an audience': { reason: 'audience', token: () => provider.sign({ aud: undefined }) },
    'that has expired': { reason: 'expired', token: () => provider.sign({ exp: inSeconds(-6) }) },
    'that is not valid yet': { reason: 'not-yet-valid', token: () => provider.sign({ nbf: inSeconds(60) }) },
    'without an expiry': { reason: 'claims', token: () => provider.sign({ exp: undefined }) },
    'without a subject': { reason: 'claims', token: () => provider.sign({ sub: undefined }) },
    'signed with a key that the provider does not publish': {
      reason: 'signature',
      token: async () => provider.sign({}, { kid: provider.keys()[0]?.kid }, await createSigningKey()),
    },
    'with an embedded key': {
      reason: 'signature',
      async token() {
        const key = await createSigningKey()
        return provider.sign({}, { kid: provider.keys()[0]?.kid, jwk: key.publicJwk }, key)
      },
    },
    'with the URL of other keys': {
      reason: 'signature',
      async token() {
        const urls = { jku: `${provider.issuer}/other`, x5u: `${provider.issuer}/other` }
        return provider.sign({}, { kid: provider.keys()[0]?.kid, ...urls }, await createSigningKey())
      },
    },
    'with an unknown kid': { reason: 'key', token: () => provider.sign({}, { kid: 'unknown' }) },
    'with a critical extension': {
      reason: 'malformed',
      token: async () => {
        const [, payload, signature] = (await provider.sign()).split('.')
        const header = { alg: 'ES256', kid: provider.keys()[0]?.kid, crit: ['exp'], exp: 1 }
        return `${base64url(JSON.stringify(header))}.${payload}.${signature}`
      },
    },
    'that is not a JWT': { reason: 'malformed', token: async () => 'not-a-token' },
    'that is longer than 8 KiB': { reason: 'too-long', token: () => provider.sign({ padding: 'x'.repeat(8_192) }) },
  }

  test.each(Object.entries(invalid))('a token %s gets a 401', async (_, { reason, token }) => {
    const rejected = () => metric(edge, new RegExp(`^identity_rejections_total{reason="${reason}"}`))
    const before = await rejected()
    const response = await playAs(edge, 'alice', bearer(await token()))
    expect(response.headers.get('www-authenticate')).toMatch(
      /^Bearer error="invalid_token", error_description="[^"]+"$/,
    )
    await expectProblem(response, 401, ['authorization'])
    expect(await rejected()).toBe(before + 1)
  })

  test('a 16 KB token exceeds the limit for headers', async () => {
    expect(await statusOf(edge, await provider.sign({ padding: 'x'.repeat(12_288) }))).toBe(431)
  })

  test('clocks may differ by up to 5 s', async () => {
    expect(await statusOf(edge, await provider.sign({ nbf: inSeconds(3) }))).toBe(200)
    expect(await statusOf(edge, await provider.sign({ exp: inSeconds(-2) }))).toBe(200)
  })

  test("a user may not play under another user's id", async () => {
    const response = await playAs(edge, 'bob', bearer(await provider.issue('alice')))
    expect(response.headers.get('www-authenticate')).toBeNull()
    await expectProblem(response, 403, ['userId'])
  })

  test('a token whose subject is not a valid user id gets a 403', async () => {
    const token = await provider.issue('not a user id')
    for (const userId of ['alice', undefined]) {
      await expectProblem(await playAs(edge, userId, bearer(token)), 403, ['authorization'])
    }
  })

  test('a play with two authorization headers gets a 400, whichever comes first', async () => {
    const [valid, other] = [`authorization: Bearer ${await provider.sign()}`, 'Authorization: Bearer other']
    for (const lines of [
      [valid, other],
      [other, valid],
      [valid, valid],
    ]) {
      const head = ['POST /play/asset/456/user/alice HTTP/1.1', 'host: localhost', 'content-length: 0', ...lines]
      using http = await connectHttp(edge, `${head.join('\r\n')}\r\n\r\n`)
      const { status, headers } = await http.response()
      expect([status, headers['www-authenticate']]).toEqual([400, expect.stringContaining('error="invalid_request"')])
    }
  })

  test('the metrics record a rejected play under its route', async () => {
    const rejected = () =>
      metric(edge, /^http_server_request_duration_seconds_count{.*"\/play\/asset\/:assetId\/user\/:userId".*"401"}/)
    const before = await rejected()
    await playAs(edge, 'alice')
    expect(await rejected()).toBe(before + 1)
  })

  test('a token in the query is ignored', async () => {
    const url = `${edge}/play/asset/456/user/alice?access_token=${await provider.sign()}`
    expect((await fetch(url, { method: 'POST' })).status).toBe(401)
  })

  test('other routes need no token', async () => {
    for (const path of ['/', '/catalogue', '/status', '/healthz', '/readyz', '/metrics', '/openapi.json']) {
      const response = await fetch(edge + path)
      await response.body?.cancel()
      expect([path, response.status]).toEqual([path, 200])
    }
  })

  test('rejected plays are not counted', async () => {
    const total = async () => Audit.parse(await getJson(`${system.reporting.url}/events/audit`)).views
    // Views are counted in order, so all earlier views are counted once this view is.
    expect((await playAs(edge, 'first', bearer(await provider.sign({ sub: 'first' })))).status).toBe(200)
    await eventually(async () => expect(await viewsOf('first')).toBe(1))
    const before = await total()
    for (const { token } of Object.values(invalid)) await statusOf(edge, await token())
    await playAs(edge, 'mallory', bearer(await provider.sign()))
    await playAs(edge, 'mallory')
    expect((await playAs(edge, 'last', bearer(await provider.sign({ sub: 'last' })))).status).toBe(200)
    await eventually(async () => expect(await viewsOf('last')).toBe(1))
    expect(await total()).toBe(before + 1)
    expect(await viewsOf('mallory')).toBe(0)
  })

  test(`exactly the valid tokens among ${TOKENS} random ones are accepted, with seed ${SEED}`, {
    timeout: 120_000,
  }, async () => {
    const tokens = await createTokens(provider, createRandom(SEED))
    const before = await metric(edge, /^recorded_views_total/)
    const statuses = new Map<number, number>()
    const pending = tokens.values()
    async function send(): Promise<void> {
      for (const { authorization, isValid } of pending) {
        const response = await playAs(edge, 'alice', { authorization })
        await response.body?.cancel()
        statuses.set(response.status, (statuses.get(response.status) ?? 0) + 1)
        expect({ authorization, isPlayed: response.status === 200 }).toEqual({ authorization, isPlayed: isValid })
      }
    }
    await Promise.all(Array.from({ length: 16 }, send))
    expect([200, 400, 401, 403, 431]).toEqual(expect.arrayContaining([...statuses.keys()]))
    const valid = tokens.filter(({ isValid }) => isValid).length
    expect(valid).toBeGreaterThan(TOKENS / 20)
    expect(statuses.get(200)).toBe(valid)
    expect(await metric(edge, /^recorded_views_total/)).toBe(before + valid)
  })

  test('a view is explained to its user and to operators, and does not exist for others', async () => {
    const [alice, bob] = [bearer(await provider.issue('alice')), bearer(await provider.issue('bob'))]
    const viewId = (await playAs(edge, 'alice', alice)).headers.get('view-id')
    const explain = (id: string | null, headers: Record<string, string>) => fetch(`${edge}/views/${id}`, { headers })
    await eventually(async () =>
      expect(await (await explain(viewId, alice)).json()).toMatchObject({ state: 'counted' }),
    )
    for (const headers of [alice, bearer(READ_TOKEN)]) {
      const explained = ExplainedView.parse(await (await explain(viewId, headers)).json())
      expect(explained.userId).toBe('alice')
    }
    const bodyFor = async (id: string | null) => {
      const response = await explain(id, bob)
      expect(response.status).toBe(404)
      const { requestId, ...body } = ViewNotFound.parse(await response.json())
      return body
    }
    // Retry, because the position in the responses advances while earlier plays are counted.
    await eventually(async () => expect(await bodyFor(viewId)).toEqual(await bodyFor('no-such-view')))
    for (const headers of [{}, bearer('not-the-read-token')]) {
      const response = await explain(viewId, headers)
      expect(response.headers.get('www-authenticate')).toMatch(/^Bearer/)
      await expectProblem(response, 401)
    }
  })

  test('a trace is shown to its user and to operators, and the list of all plays only to operators', async () => {
    const [alice, bob] = [bearer(await provider.issue('alice')), bearer(await provider.issue('bob'))]
    const traceId = 'a1'.repeat(16)
    const traceparent = `00-${traceId}-${'b'.repeat(16)}-01`
    await playAs(edge, 'alice', { ...alice, traceparent })
    const read = (path: string, headers: Record<string, string>) => fetch(`${edge}/traces${path}`, { headers })
    for (const headers of [alice, bearer(READ_TOKEN)]) {
      const { spans } = SystemTrace.parse(await (await read(`/${traceId}`, headers)).json())
      expect(spans.map(({ attributes }) => attributes['user.id'])).toContain('alice')
    }
    expect((await read(`/${traceId}`, bob)).status).toBe(404)
    for (const headers of [{}, bearer('not-the-read-token')])
      await expectProblem(await read(`/${traceId}`, headers), 401)
    expect(JSON.stringify(await (await read('', bearer(READ_TOKEN))).json())).toContain('alice')
    for (const headers of [{}, alice]) await expectProblem(await read('', headers), 401)

    // A user who reuses another user's trace id cannot see the trace.
    await playAs(edge, 'bob', { ...bob, traceparent })
    expect((await read(`/${traceId}`, bob)).status).toBe(404)

    // A prefetch's path names its user too.
    const prefetchedId = 'c3'.repeat(16)
    const shared = { traceparent: `00-${prefetchedId}-${'b'.repeat(16)}-01` }
    await playAs(edge, 'alice', { ...alice, ...shared, 'sec-purpose': 'prefetch' })
    await playAs(edge, 'bob', { ...bob, ...shared })
    expect((await read(`/${prefetchedId}`, bob)).status).toBe(404)
  })

  test('a page from another origin may send a token, and read why it is rejected', async () => {
    const preflight = { 'access-control-request-method': 'POST', 'access-control-request-headers': 'authorization' }
    const init = { method: 'OPTIONS', headers: { origin: ORIGIN, ...preflight } }
    const allowed = await fetch(`${edge}/play/asset/456/user/alice`, init)
    expect([allowed.status, allowed.headers.get('access-control-allow-headers')]).toEqual([204, 'authorization'])
    const rejected = await playAs(edge, 'alice', { origin: ORIGIN })
    expect(rejected.status).toBe(401)
    expect(rejected.headers.get('access-control-expose-headers')).toContain('www-authenticate')
  })

  test('the OpenAPI document describes the tokens, and the 401 and 403 responses', async () => {
    const { operations } = await loadOpenApi(edge)
    const described = operations.flatMap(({ id, security, responses }) =>
      security ? [[id, security, Object.keys(responses).filter((status) => /401|403/.test(status))]] : [],
    )
    expect(described).toEqual([
      ['GET /traces', [{ readToken: [] }, { writeToken: [] }], ['401']],
      ['GET /traces/{traceId}', [{ viewerToken: [] }, { readToken: [] }, { writeToken: [] }], ['401', '403']],
      ['POST /play/asset/{assetId}/user/{userId}', [{ viewerToken: [] }], ['401', '403']],
      ['POST /play/asset/{assetId}', [{ viewerToken: [] }], ['401', '403']],
      ['POST /play/watched/{viewId}', [{ viewerToken: [] }], ['401', '403']],
      ['GET /views/{viewId}', [{ viewerToken: [] }, { readToken: [] }], ['401', '403']],
    ])
    await using directory = await createTempDirectory('identity')
    const file = `${directory.path}/play.json`
    await writeFile(file, JSON.stringify(await getJson(`${edge}/openapi.json`)))
    await expectNoLintFindings(file)
  })
})

describe("the identity provider's keys:", () => {
  test('a new key is fetched when a token names it, and the old one is no longer accepted', async () => {
    await using provider = await startIdentityProvider()
    await using system = await startEdge(provider)
    const edge = system.play.url
    const [before] = provider.keys()
    expect(await statusOf(edge, await provider.issue('alice'))).toBe(200)
    expect(provider.fetches()).toBe(1)
    provider.use([await createSigningKey()])
    expect(await statusOf(edge, await provider.issue('alice'))).toBe(200)
    expect(provider.fetches()).toBe(2)
    expect(await statusOf(edge, await provider.sign({}, {}, before))).toBe(401)
  })

  test('a provider may go down and come back with new keys', async () => {
    await using provider = await startIdentityProvider()
    await using system = await startEdge(provider)
    const edge = system.play.url
    const [before] = provider.keys()
    await provider.stop()
    provider.use([await createSigningKey()])
    expect(await statusOf(edge, await provider.sign({}, {}, before))).toBe(200)
    await provider.start()
    expect(await statusOf(edge, await provider.issue('alice'))).toBe(200)
    expect(await statusOf(edge, await provider.sign({ jti: 'not in the cache' }, {}, before))).toBe(401)
  })

  test('a flood of tokens with unknown keys causes only one request for the keys', async () => {
    await using provider = await startIdentityProvider()
    await using system = await startEdge(provider)
    const edge = system.play.url
    const key = await createSigningKey()
    const tokens = await Promise.all(
      Array.from({ length: 500 }, (_, n) => provider.sign({}, { kid: `unknown-${n}` }, key)),
    )
    const before = provider.fetches()
    const statuses = await Promise.all(tokens.map((token) => statusOf(edge, token)))
    expect(new Set(statuses)).toEqual(new Set([401]))
    expect(provider.fetches()).toBe(before + 1)
    expect(await statusOf(edge, await provider.sign())).toBe(200)
  })

  test('without keys, plays get a 503 and play is not ready, until the provider publishes valid keys', async () => {
    await using provider = await startIdentityProvider()
    await provider.stop()
    await using system = await startEmbedded(provider.settings)
    const edge = system.play.url
    const token = await provider.sign()
    const response = await playAs(edge, 'alice', bearer(token))
    expect(response.headers.get('retry-after')).toBe('1')
    await expectProblem(response, 503)
    const { status, dependencies, reasons } = Readiness.parse(await getJson(`${edge}/readyz`))
    expect([status, dependencies.identity, reasons?.identity]).toEqual(['not ready', 'down', expect.any(String)])
    await expectProblem(await playAs(edge, 'alice'), 401)

    provider.publish((_, response) => response.end(JSON.stringify({ keys: [provider.keys()[0]?.privateJwk] })))
    await provider.start()
    await eventually(() => expect(provider.fetches()).toBeGreaterThan(0))
    expect(await statusOf(edge, token)).toBe(503)
    provider.publish()
    await eventually(async () => expect(await statusOf(edge, token)).toBe(200), 40_000)
    expect(Readiness.parse(await getJson(`${edge}/readyz`))).toMatchObject({ status: 'ready' })
  })

  test.each<[string, RequestListener | undefined]>([
    ['is down', undefined],
    ['publishes something other than JSON', (_, response) => response.end('<html>')],
    ['publishes no keys', (_, response) => response.end('{"keys":[]}')],
    ['redirects', (_, response) => response.writeHead(302, { location: '/other' }).end()],
    ['does not respond', () => {}],
  ])('while the provider %s, the last good keys are used', async (_, listener) => {
    await using provider = await startIdentityProvider()
    await using system = await startEdge(provider)
    const edge = system.play.url
    if (listener) provider.publish(listener)
    else await provider.stop()
    const fetches = () => metric(edge, /^identity_key_fetches_total{outcome="failed"}/)
    expect(await statusOf(edge, await provider.sign({}, { kid: 'unknown' }))).toBe(401)
    expect(await fetches()).toBe(1)
    expect(await statusOf(edge, await provider.sign({ jti: 'not in the cache' }))).toBe(200)
    await eventually(async () =>
      expect(Readiness.parse(await getJson(`${edge}/readyz`))).toMatchObject({
        status: 'ready',
        dependencies: { identity: 'down' },
      }),
    )
    expect(await metric(edge, /^identity_key_age_seconds /)).toBeGreaterThan(0)
  })
})

test.each([
  [{ AUTH_JWKS_URL: 'https://login.example/jwks' }, 'AUTH_ISSUER and AUTH_AUDIENCE must be set too'],
  [{ AUTH_ISSUER: 'https://login.example', AUTH_AUDIENCE: AUDIENCE }, 'AUTH_JWKS_URL must be set too'],
  [
    { AUTH_JWKS_URL: 'http://login.example/jwks', AUTH_ISSUER: 'a', AUTH_AUDIENCE: 'b' },
    'http is allowed only on loopback',
  ],
  [{ READ_TOKEN: 'short' }, 'at least 16 characters'],
])('with %j, the edge does not start', async (env, message) => {
  await using directory = await createTempDirectory('identity')
  await using child = startChild(process.execPath, ['embedded/main.ts', '--port', String(await freePortRange())], {
    env: { DATA_DIR: directory.path, ...env },
  })
  expect(await child.ended).toBe(2)
  expect(child.lines.join('\n')).toContain(message)
})

test('without a provider, anyone may play, but a play needs a user id', async () => {
  await using system = await startEmbedded()
  const edge = system.play.url
  expect((await playAs(edge, 'alice', bearer('not-a-token'))).status).toBe(200)
  await expectProblem(await playAs(edge, undefined), 404)
  expect(await metric(edge, /^identity_/)).toBe(0)
  expect(JSON.stringify(await getJson(`${edge}/openapi.json`))).not.toContain('viewerToken')
})

type Sent = { authorization: string; isValid: boolean }

/** Valid tokens, and random mutations of them. */
async function createTokens(provider: IdentityProvider, random: () => number): Promise<Sent[]> {
  const below = (max: number) => Math.floor(random() * max)
  const originals: string[] = []
  for (let n = 0; n < 100; n += 1) {
    originals.push(await provider.sign({ jti: String(n), plan: n }, {}, provider.keys()[n % provider.keys().length]))
  }
  return Array.from({ length: TOKENS }, () => {
    const original = originals[below(originals.length)] ?? ''
    const other = originals[below(originals.length)] ?? ''
    const token = mutate(original, other, below)
    const scheme = below(10) > 0 ? 'Bearer ' : (SCHEMES[below(SCHEMES.length)] ?? '')
    const isValid = /^bearer +$/i.test(scheme) && originals.some((one) => isSame(one, token))
    return { authorization: `${scheme}${token}`, isValid }
  })
}

const SCHEMES = ['bearer ', 'BEARER   ', 'Bearer', 'Bearer\t', 'Basic ', 'Bearer Bearer ', 'DPoP ', '']

const CHARACTERS = 'ABCXYZabcxyz0189-_.=+/ ~!{}"%'

function mutate(token: string, other: string, below: (max: number) => number): string {
  const at = below(token.length + 1)
  const character = CHARACTERS[below(CHARACTERS.length)] ?? ''
  const parts = token.split('.')
  const others = other.split('.')
  const part = below(3)
  switch (below(9)) {
    case 0:
      return token
    case 1:
      return token.slice(0, at) + character + token.slice(at)
    case 2:
      return token.slice(0, at) + token.slice(at + 1 + below(3))
    case 3:
      return token.slice(0, at) + character + token.slice(at + 1)
    case 4:
      return parts.with(part, others[part] ?? '').join('.')
    case 5:
      return parts.with(part, '').join('.')
    case 6:
      return parts.toSpliced(part, 1 + below(2)).join('.')
    case 7:
      return Array.from({ length: below(400) }, () => CHARACTERS[below(CHARACTERS.length)]).join('')
    default:
      return `${token}.${'x'.repeat(below(20_000))}`
  }
}

/** Compares tokens. Ignores spaces around `sent`, and the unused bits in the last character of the signature. */
function isSame(token: string, sent: string): boolean {
  const [header, payload, signature = ''] = token.split('.')
  const parts = sent.trim().split('.')
  const bytes = (text: string) => Buffer.from(text, 'base64url')
  const isBase64url = /^[\w-]+$/.test(parts[2] ?? '')
  const hasSameText = parts.length === 3 && parts[0] === header && parts[1] === payload
  return hasSameText && isBase64url && bytes(parts[2] ?? '').equals(bytes(signature))
}
