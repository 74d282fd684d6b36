import { expect, test } from 'vitest'
import { loadSettings } from '../../shared/runtime/settings.ts'
import { limitSettings } from './settings.ts'

const load = (PLAY_RATE?: string) => loadSettings(limitSettings, { args: [], env: { PLAY_RATE } }).PLAY_RATE

test('a rate is undefined unless it is set', () => expect([load(), load('')]).toEqual([undefined, undefined]))

test.each([
  ['60/1m', 60, 60_000],
  ['1/1s', 1, 1_000],
  ['100000/1d', 100_000, 86_400_000],
  ['5/90s', 5, 90_000],
])('the rate %s allows %d requests in %d ms', (text, count, periodMs) =>
  expect(load(text)).toEqual({ count, periodMs }),
)

test.each(['60', '60/m', '0/1m', '100001/1m', '60/500ms', '60/1.5s', '60/0s', '60/2d', '60/1m/2', ' 60/1m', '-1/1m'])(
  'the rate %s is invalid',
  (text) => expect(() => load(text)).toThrow(`PLAY_RATE is "${text}": it must be a count up to 100000 and a duration`),
)
