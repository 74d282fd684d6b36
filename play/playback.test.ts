import { expect, test } from 'vitest'
import { toPlayback } from './playback.ts'

const metadata = { id: '456', title: 'Terminator', genre: 'action', summary: 'Summary for terminator' }
const cdnUrl = { id: '456', url: 'path/to/asset456.mp4' }
const counts = { userviews: 4, assetviews: 0 }

test('a playback has the documented fields in order, and its counts include this play', () => {
  const playback = toPlayback({ metadata, cdnUrl, counts, degraded: [] }, 'log')
  expect(playback).toEqual({ ...metadata, url: 'path/to/asset456.mp4', userviews: 5, assetviews: 1 })
  expect(Object.keys(playback)).toEqual(['id', 'title', 'genre', 'summary', 'url', 'userviews', 'assetviews'])
})

test('unavailable counts are null', () => {
  expect(toPlayback({ metadata, cdnUrl, counts: undefined, degraded: ['reporting'] }, 'log')).toMatchObject({
    userviews: null,
    assetviews: null,
    degraded: ['reporting'],
  })
})

test('a play whose view is in the outbox is degraded by events', () => {
  expect(toPlayback({ metadata, cdnUrl, counts, degraded: [] }, 'outbox')).toMatchObject({ degraded: ['events'] })
  expect(toPlayback({ metadata, cdnUrl, counts, degraded: ['metadata'] }, 'outbox')).toMatchObject({
    degraded: ['metadata', 'events'],
  })
})
