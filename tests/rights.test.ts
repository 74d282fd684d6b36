import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { jsonRequest } from '../shared/testing/json-request.ts'
import { postAsset } from './harness/assets.ts'
import { type Services, startEmbedded } from './harness/embedded.ts'
import { eventually } from './harness/eventually.ts'
import { getJson, metric, play, views, warmUp } from './harness/plays.ts'

const FUTURE = '2999-01-01T00:00:00Z'
const PAST = '2000-01-01T00:00:00Z'

describe('an asset with rights', () => {
  let system: Services
  let edge: string
  beforeAll(async () => {
    // The tests do not send requests through this proxy, so their country header is ignored.
    system = await startEmbedded({ COUNTRY_HEADER: 'x-country', TRUSTED_PROXIES: '192.0.2.1' })
    edge = system.play.url
    await warmUp(edge)
  })
  afterAll(() => system?.[Symbol.asyncDispose]())

  const create = (id: string, rights?: object) =>
    postAsset(system, { id, title: id, url: `${id}.mp4`, ...(rights && { rights }) })
  const denials = (reason: string) => metric(edge, new RegExp(`^denied_plays_total{reason="${reason}"}`))

  test.each([
    ['future', { from: FUTURE }, 403, ['not-started']],
    ['past', { until: PAST }, 403, ['expired']],
    ['premium', { plans: ['premium'] }, 403, ['plan']],
    ['german', { countries: ['DE'] }, 451, ['country']],
    ['everything', { from: FUTURE, countries: ['DE'], plans: ['x'] }, 403, ['not-started', 'country', 'plan']],
  ])('is refused with the reasons, and no view is counted: %s', async (id, rights, status, reasons) => {
    await create(id, rights)
    const before = await Promise.all(reasons.map(denials))
    const refused = await play(edge, id, `viewer-of-${id}`)
    expect(refused).toEqual({ status, body: { status: 'Not available', reasons, requestId: expect.any(String) } })
    const keyed = { method: 'POST', headers: { 'idempotency-key': `"${id}"` } }
    const retried = await fetch(`${edge}/play/asset/${id}/user/viewer-of-${id}`, keyed)
    expect(retried.status).toBe(status)
    expect(retried.headers.has('view-id')).toBe(false)
    expect(await Promise.all(reasons.map(denials))).toEqual(before.map((count) => count + 2))
    // Views are counted in order, so once this later view is counted, a view of the asset would be counted too.
    await play(edge, '456', `viewer-of-${id}`)
    await eventually(async () => expect(await views(system.reporting.url, 'user', `viewer-of-${id}`)).toBe(1))
    expect(await views(system.reporting.url, 'asset', id)).toBe(0)
  })

  test('is refused even if a client that is not a trusted proxy names an allowed country', async () => {
    await create('german', { countries: ['DE'] })
    const init = { method: 'POST', headers: { 'x-country': 'DE' } }
    expect((await fetch(`${edge}/play/asset/german/user/tourist`, init)).status).toBe(451)
  })

  test('can be played from an allowed country that a trusted proxy names', async () => {
    await using proxied = await startEmbedded({ COUNTRY_HEADER: 'X-Country', TRUSTED_PROXIES: '127.0.0.0/8' })
    await warmUp(proxied.play.url)
    await postAsset(proxied, { id: 'german', title: 'german', url: 'german.mp4', rights: { countries: ['DE'] } })
    const playFrom = async (country: string) => {
      const init = { method: 'POST', headers: { 'x-country': country } }
      return (await fetch(`${proxied.play.url}/play/asset/german/user/tourist`, init)).status
    }
    for (const country of ['DE', 'de']) expect(await playFrom(country)).toBe(200)
    for (const country of ['FR', 'DE, FR', 'FR, DE', 'XX', '']) expect(await playFrom(country)).toBe(451)
    const prefetch = { method: 'POST', headers: { 'sec-purpose': 'prefetch' } }
    expect((await fetch(`${proxied.play.url}/play/asset/german/user/tourist`, prefetch)).status).toBe(451)
  })

  test('can be played as soon as its rights allow it', async () => {
    await create('changing', { until: PAST })
    expect((await play(edge, 'changing', 'patient')).status).toBe(403)
    await create('changing', { from: PAST, until: FUTURE })
    await eventually(async () => expect((await play(edge, 'changing', 'patient')).status).toBe(200))
    await create('changing')
    expect(await getJson(`${system.metadata.url}/content/asset/changing`)).not.toHaveProperty('rights')
  })

  test('has its rights in metadata and the catalogue, but not in the response to a play', async () => {
    const rights = { from: PAST, until: FUTURE }
    await create('shown', rights)
    expect(await getJson(`${system.metadata.url}/content/asset/shown`)).toMatchObject({ rights })
    const { assets } = (await getJson(`${edge}/catalogue?limit=100`)) as { assets: object[] }
    expect(assets).toContainEqual(expect.objectContaining({ id: 'shown', rights }))
    const { body } = await play(edge, 'shown', '8')
    expect(body).not.toHaveProperty('rights')
  })

  test.each([
    ['rights.from', { from: 'tomorrow' }],
    ['rights.until', { from: FUTURE, until: PAST }],
    ['rights.until', { from: PAST, until: PAST }],
    ['rights.countries.0', { countries: ['de'] }],
    ['rights.countries', { countries: [] }],
    ['rights.plans.0', { plans: [''] }],
    ['rights.nations', { nations: ['DE'] }],
  ])('is not stored with invalid %s', async (path, rights) => {
    const asset = { title: 'x', genre: 'x', summary: '' }
    const single = await fetch(`${system.metadata.url}/content/asset/invalid`, jsonRequest({ ...asset, rights }))
    expect([single.status, await single.json()]).toMatchObject([400, { errors: [{ path }] }])
    const headers = { 'content-type': 'application/x-ndjson' }
    const body = `${JSON.stringify({ id: 'invalid', ...asset, rights })}\n`
    const bulk = await fetch(`${system.metadata.url}/content/assets`, { method: 'POST', headers, body })
    expect([bulk.status, await bulk.json()]).toMatchObject([400, { errors: [{ path: `line 1: ${path}` }] }])
  })
})
