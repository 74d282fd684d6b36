import { expect, test } from 'vitest'
import type { Aggregate } from './aggregate.ts'
import { toPlayback } from './playback.ts'

const metadata = { id: '456', title: 'Terminator', genre: 'action', summary: 'Summary for terminator' }
const cdnUrl = { id: '456', url: 'path/to/asset456.mp4' }
const counts = { userviews: 4, assetviews: 0 }
const found = { metadata, cdnUrl, counts, degraded: [] }

test('a playback has the documented fields in order, and its counts include this play', () => {
  const playback = toPlayback({ found, place: 'log', isCounted: false })
  expect(playback).toEqual({ ...metadata, url: 'path/to/asset456.mp4', userviews: 5, assetviews: 1 })
  expect(Object.keys(playback)).toEqual(['id', 'title', 'genre', 'summary', 'url', 'userviews', 'assetviews'])
})

test('unavailable counts are null', () => {
  const withoutCounts: Aggregate = { ...found, counts: undefined, degraded: ['reporting'] }
  expect(toPlayback({ found: withoutCounts, place: 'log', isCounted: false })).toMatchObject({
    userviews: null,
    assetviews: null,
    degraded: ['reporting'],
  })
})

test('a play whose view is in the outbox lists events as degraded', () => {
  expect(toPlayback({ found, place: 'outbox', isCounted: false })).toMatchObject({ degraded: ['events'] })
  const stale: Aggregate = { ...found, degraded: ['metadata'] }
  expect(toPlayback({ found: stale, place: 'outbox', isCounted: false })).toMatchObject({
    degraded: ['metadata', 'events'],
  })
})

test('a retry adds its view to the counts only if they do not include it yet', () => {
  const [uncounted, counted] = [false, true].map((isCounted) => toPlayback({ found, place: undefined, isCounted }))
  expect(uncounted).toMatchObject({ userviews: 5, assetviews: 1 })
  expect(counted).toMatchObject({ userviews: 4, assetviews: 0 })
  expect(counted).not.toHaveProperty('degraded')
})
