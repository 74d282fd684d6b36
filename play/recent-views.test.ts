import { expect, test } from 'vitest'
import { createRecentViews, type RecentView } from './recent-views.ts'
import { recordedIn } from './recorded.test-suite.ts'

const AT = '2026-11-20T21:00:00.000Z'
const view = (id: string): RecentView => ({ id, assetId: 'a', userId: 'u', at: AT })
const signal = new AbortController().signal

test('the last recorded views are found by id', async () => {
  const recent = createRecentViews(2)
  const append = recent.observe(async () => recordedIn('log'))
  await append([view('1'), view('2')], signal)
  expect(recent.get('1')).toEqual(view('1'))
  expect(recent.get('2')).toEqual(view('2'))
  await append([{ ...view('3'), assetId: 'b', userId: 'v' }], signal)
  expect([recent.get('1'), recent.get('2')]).toContain(undefined)
  expect(recent.get('3')).toEqual({ id: '3', assetId: 'b', userId: 'v', at: AT })
})

test('a report of watch time is not remembered', async () => {
  const recent = createRecentViews()
  const append = recent.observe(async () => recordedIn('log'))
  await append([{ ...view('20'), watched: { viewId: '10', seconds: 1 } }], signal)
  for (const id of ['20', '10']) expect(recent.get(id)).toBeUndefined()
})

test('a view whose append fails is not remembered', async () => {
  const recent = createRecentViews()
  const append = recent.observe(() => Promise.reject(new Error('down')))
  await expect(append([view('1')], signal)).rejects.toThrow('down')
  expect(recent.get('1')).toBeUndefined()
})
