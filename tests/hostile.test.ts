import { request } from 'undici'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { postAsset } from './harness/assets.ts'
import { type Services, startEmbedded } from './harness/embedded.ts'
import { eventually } from './harness/eventually.ts'
import { createSigningKey, type IdentityProvider, startIdentityProvider } from './harness/identity-provider.ts'
import { metric } from './harness/plays.ts'
import { freePort } from './harness/ports.ts'
import { createRandom } from './harness/random.ts'

const SEED = 20_261_123
const REQUESTS = 10_000
const PARALLEL = 16
const ORIGIN = 'https://tv.example'
/** Any other status of a play would be a defect. */
const STATUSES = [200, 400, 401, 403, 421, 429, 431, 451]

/** A value for one part of a request. If the value is invalid, `status` is the status that it causes. */
type Choice = { value?: string; status?: number }

/** The parts of a play, in the order in which play checks them. The first choices are valid, and the most likely. */
type Parts = { host: Choice[]; origin: Choice[]; token: Choice[]; key: Choice[]; asset: Choice[] }

describe('an edge with identity, limits, rights and an operations port', { timeout: 120_000 }, () => {
  const stack = new AsyncDisposableStack()
  let provider: IdentityProvider
  let system: Services
  let operations: string
  beforeAll(async () => {
    provider = stack.use(await startIdentityProvider())
    operations = `http://127.0.0.1:${await freePort()}`
    const settings = {
      ...provider.settings,
      OPS_PORT: new URL(operations).port,
      CLIENT_RATE: '100000/1s',
      PLAY_RATE: '100000/1s',
      CORS_ORIGINS: ORIGIN,
      COUNTRY_HEADER: 'x-country',
      TRUSTED_PROXIES: '192.0.2.1',
      READ_TOKEN: 'a-token-of-operators',
      WRITE_TOKEN: '',
    }
    system = stack.use(await startEmbedded(settings))
    await eventually(async () => expect((await fetch(`${system.play.url}/readyz`)).status).toBe(200))
    await postAsset(system, { id: 'german', title: 'german', url: 'german.mp4', rights: { countries: ['DE'] } })
    await postAsset(system, { id: 'past', title: 'past', url: 'past.mp4', rights: { until: '2000-01-01T00:00:00Z' } })
  })
  afterAll(() => stack.disposeAsync())

  async function createParts(): Promise<Parts> {
    const valid = await provider.sign()
    const other = await createSigningKey()
    const invalid = [
      '',
      'Basic YWxpY2U6c2VjcmV0',
      'Bearer',
      'Bearer null',
      `Bearer ${valid.slice(0, -3)}AAA`,
      `Bearer ${valid.split('.').slice(0, 2).join('.')}.`,
      `Bearer ${await provider.sign({ exp: 1 })}`,
      `Bearer ${await provider.sign({ aud: 'other' })}`,
      `Bearer ${await provider.sign({}, {}, other)}`,
      `Bearer ${'A'.repeat(9_000)}`,
    ]
    return {
      host: [
        { value: new URL(system.play.url).host },
        { value: 'localhost' },
        { value: 'site.example', status: 421 },
        { value: '127.0.0.1.site.example', status: 421 },
        { value: 'a b', status: 421 },
        { value: 'localhost:99999', status: 400 },
      ],
      origin: [
        {},
        { value: `origin: ${ORIGIN}` },
        { value: 'sec-fetch-site: none' },
        { value: 'sec-fetch-site: cross-site', status: 403 },
        { value: 'origin: https://site.example', status: 403 },
        { value: `x-filler: ${'x'.repeat(20_000)}`, status: 431 },
      ],
      token: [
        { value: `Bearer ${valid}` },
        { value: `bearer  ${valid}` },
        ...invalid.map((value) => ({ value, status: 401 })),
        { value: `Bearer ${await provider.sign({ sub: 'bob' })}`, status: 403 },
        { value: `Bearer ${await provider.sign({ sub: 'not an id' })}`, status: 403 },
      ],
      key: [{}, { value: 'fresh' }, { value: 'no quotes', status: 400 }, { value: '""', status: 400 }],
      asset: [
        { value: '456' },
        { value: '%34%35%36' },
        { value: '-', status: 400 },
        { value: '%00', status: 400 },
        { value: 'german', status: 451 },
        { value: 'past', status: 403 },
      ],
    }
  }

  /** Picks the first choice, which is valid, at least half of the time, so that enough requests are entirely valid. */
  function pick(choices: Choice[], random: () => number): Choice {
    const index = random() < 0.5 ? 0 : Math.floor(random() * choices.length)
    return choices[index] ?? {}
  }

  test(`accepts exactly the valid requests among ${REQUESTS} random ones, with seed ${SEED}`, async () => {
    const parts = await createParts()
    const random = createRandom(SEED)
    const statuses = new Map<number, number>()
    const before = await metric(operations, /^recorded_views_total/)
    let sent = 0
    let valid = 0

    async function sendOne(): Promise<void> {
      const number = sent
      const chosen = Object.fromEntries(Object.entries(parts).map(([part, choices]) => [part, pick(choices, random)]))
      const { host, origin, token, key, asset } = chosen as Record<keyof Parts, Choice>
      const [name, value] = origin.value?.split(/: (.*)/s) ?? []
      const keyed = key.value === 'fresh' ? `"key-${number}"` : key.value
      const headers = {
        host: host.value ?? '',
        authorization: token.value ?? '',
        'x-country': 'DE',
        'x-forwarded-for': '203.0.113.9',
        ...(name !== undefined && { [name]: value ?? '' }),
        ...(keyed !== undefined && { 'idempotency-key': keyed }),
      }
      const url = `${system.play.url}/play/asset/${asset.value}/user/alice`
      const { statusCode, body } = await request(url, { method: 'POST', headers })
      await body.dump()
      statuses.set(statusCode, (statuses.get(statusCode) ?? 0) + 1)
      const invalid = [host, origin, token, key, asset].flatMap(({ status }) => status ?? [])
      if (invalid.length === 0) valid += 1
      const expected = invalid.length === 0 ? [200] : invalid
      expect(expected, JSON.stringify(chosen)).toContain(statusCode)
    }

    async function sendMany(): Promise<void> {
      while (sent < REQUESTS) {
        sent += 1
        await sendOne()
      }
    }
    await Promise.all(Array.from({ length: PARALLEL }, sendMany))

    expect(STATUSES).toEqual(expect.arrayContaining([...statuses.keys()]))
    expect(statuses.size).toBe(STATUSES.length - 1)
    expect(valid).toBeGreaterThan(REQUESTS / 50)
    expect(statuses.get(200)).toBe(valid)
    expect(await metric(operations, /^recorded_views_total/)).toBe(before + valid)
  })
})
