import { Hono } from 'hono'
import { expect, test } from 'vitest'
import { UsageError } from '../../shared/runtime/command-line.ts'
import type { PlayEnv } from '../play-env.ts'
import { createReadAudience } from './audience.ts'

const TRUSTED_PROXIES = {}

test('COUNTRY_HEADER without TRUSTED_PROXIES is an error', () => {
  const create = () => createReadAudience({ COUNTRY_HEADER: 'x-country' }, () => false)
  expect(create).toThrow(UsageError)
  expect(create).toThrow('TRUSTED_PROXIES must be set too')
})

test.each([
  ['DE', true, 'de', { COUNTRY_HEADER: 'x-country', TRUSTED_PROXIES }],
  [undefined, false, 'de', { COUNTRY_HEADER: 'x-country', TRUSTED_PROXIES }],
  [undefined, true, 'de', { TRUSTED_PROXIES }],
  [undefined, false, 'de', {}],
])(
  'the country is %s for a request (from a trusted proxy: %s) that names %s, with the settings %o',
  async (expected, isProxy, country, settings) => {
    const read = createReadAudience(settings, () => isProxy)
    const app = new Hono<PlayEnv>().get('/', (c) => c.json(read(c)))
    const response = await app.request('/', { headers: { 'x-country': country } })
    expect(await response.json()).toEqual({ country: expected })
  },
)
