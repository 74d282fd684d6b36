import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Series } from '../shared/contracts/series.ts'
import { startEmbedded } from './harness/embedded.ts'
import { eventually } from './harness/eventually.ts'
import { getJson, play, views } from './harness/plays.ts'

describe('the views over time', () => {
  let system: Awaited<ReturnType<typeof startEmbedded>>
  beforeAll(async () => {
    system = await startEmbedded()
    for (const user of ['u', 'u', 'v']) expect((await play(system.play.url, '456', user)).status).toBe(200)
    await eventually(async () => expect(await views(system.reporting.url, 'asset', '456')).toBe(3))
  })
  afterAll(() => system?.[Symbol.asyncDispose]())

  const url = (query: string) => `${system.reporting.url}/events/series?${query}`

  async function sumOf(query: string) {
    const { points } = Series.parse(await getJson(url(query)))
    const sum = (of: 'views' | 'qualified') => points.reduce((total, point) => total + point[of], 0)
    return { views: sum('views'), qualified: sum('qualified') }
  }

  test.each(['step=minute', 'step=hour', 'step=day', 'step=hour&assetId=456', 'step=day&assetId=456'])(
    'with %s, contain each play once',
    async (query) => {
      expect(await sumOf(query)).toEqual({ views: 3, qualified: 2 })
    },
  )

  test('contain no play of another asset', async () => {
    expect(await sumOf('step=day&assetId=123')).toEqual({ views: 0, qualified: 0 })
  })

  test('by day, add up to the totals in the audit', async () => {
    const audit = await getJson(`${system.reporting.url}/events/audit`)
    expect(audit).toMatchObject({ ...(await sumOf('step=day')), pending: 0 })
  })

  test('can be downloaded as CSV', async () => {
    const response = await fetch(url('step=day'), { headers: { accept: 'text/csv' } })
    const lines = (await response.text()).trimEnd().split('\r\n')
    expect(lines).toHaveLength(31)
    expect([lines.at(0), lines.at(-1)]).toEqual(['at,views,qualified', expect.stringMatching(/T00:00:00\.000Z,3,2$/)])
  })
})
