import { expect, test } from 'vitest'
import { describeSettings, loadSettings } from '../runtime/settings.ts'
import { eventsMaxAge } from './settings.ts'

const shape = { EVENTS_MAX_AGE: eventsMaxAge }

test('the maximum age of events is a duration, unlimited by default', () => {
  expect(loadSettings(shape, { args: [], env: { EVENTS_MAX_AGE: '90d' } })).toEqual({ EVENTS_MAX_AGE: 7_776_000_000 })
  expect(loadSettings(shape, { args: [], env: {} }).EVENTS_MAX_AGE).toBeUndefined()
})

test('--help describes the maximum age of events', () => {
  expect(describeSettings('/somewhere/play/main.ts', shape)).toMatch(/EVENTS_MAX_AGE +How long/)
})
