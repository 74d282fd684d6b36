import { expect, test, vi } from 'vitest'
import type { Rights } from '../../shared/contracts/rights.ts'
import { useFakeClock } from '../../shared/testing/fake-clock.ts'
import { type Audience, checkEntitlement, findRefusal, LicensedMetadata } from './entitlement.ts'

const START = '2026-12-01T00:00:00Z'
const END = '2026-12-01T01:00:00+01:00'
const startMs = Date.parse(START)

test('an asset without rights may be played by anyone', () => {
  expect(findRefusal(license(undefined), {})).toBeUndefined()
  expect(findRefusal(license({}), {})).toBeUndefined()
})

test.each([
  ['before from', { from: START }, startMs - 1, ['not-started']],
  ['at from', { from: START }, startMs, []],
  ['just before until', { until: START }, startMs - 1, []],
  ['at until', { until: START }, startMs, ['expired']],
  ['at until, given with an offset', { until: END }, startMs, ['expired']],
  ['just before until, given with an offset', { until: END }, startMs - 1, []],
])('the decision about a play %s is exact to the millisecond (%o)', (_, rights: Rights, now, reasons) => {
  expect(check(rights, {}, now)).toEqual({ allow: reasons.length === 0, reasons })
})

test.each([
  [{ countries: ['AT', 'DE'] }, { country: 'DE' }, []],
  [{ countries: ['AT', 'DE'] }, { country: 'FR' }, ['country']],
  [{ countries: ['AT', 'DE'] }, {}, ['country']],
  [{ plans: ['premium'] }, { plan: 'premium' }, []],
  [{ plans: ['premium'] }, { plan: 'Premium' }, ['plan']],
  [{ plans: ['premium'] }, {}, ['plan']],
  [{ countries: ['DE'], plans: ['premium'] }, { country: 'DE', plan: 'premium' }, []],
  [{ from: '2999-01-01T00:00:00Z', countries: ['DE'], plans: ['premium'] }, {}, ['not-started', 'country', 'plan']],
] as [Rights, Audience, string[]][])(
  'the rights %o and the viewer %o give the reasons %o',
  (rights, viewer, reasons) => {
    expect(check(rights, viewer, startMs)).toEqual({ allow: reasons.length === 0, reasons })
  },
)

test("a cached asset's rights expire on time, without another load", () => {
  useFakeClock()
  vi.setSystemTime(startMs - 1)
  const metadata = license({ until: START })
  expect(findRefusal(metadata, {})).toBeUndefined()
  vi.setSystemTime(startMs)
  expect(findRefusal(metadata, {})).toEqual({ reasons: ['expired'] })
})

function license(rights: Rights | undefined) {
  return LicensedMetadata.parse({ id: 'a', title: 'Alien', genre: 'horror', summary: '', rights })
}

function check(rights: Rights, viewer: Audience, now: number) {
  const { terms } = license(rights)
  if (!terms) throw new Error('no terms')
  return checkEntitlement(terms, viewer, now)
}
