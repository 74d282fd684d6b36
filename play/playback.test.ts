import { expect, test } from 'vitest'
import { toPlayback } from './playback.ts'

const metadata = { id: '456', title: 'Terminator', genre: 'action', summary: 'Summary for terminator' }
const cdnUrl = { id: '456', url: 'path/to/asset456.mp4' }
const counts = { userviews: 4, assetviews: 0 }

test('a playback has what the player needs, in the agreed order, and its counts include this play', () => {
  const playback = toPlayback({ metadata, cdnUrl, counts, degraded: [] }, 'log')
  expect(playback).toEqual({ ...metadata, url: 'path/to/asset456.mp4', userviews: 5, assetviews: 1 })
  expect(Object.keys(playback)).toEqual(['id', 'title', 'genre', 'summary', 'url', 'userviews', 'assetviews'])
})

test('counts that are not known are null', () => {
  expect(toPlayback({ metadata, cdnUrl, counts: undefined, degraded: ['reporting'] }, 'log')).toMatchObject({
    userviews: null,
    assetviews: null,
    degraded: ['reporting'],
  })
})

test('a view that is in the outbox shows', () => {
  expect(toPlayback({ metadata, cdnUrl, counts, degraded: [] }, 'outbox')).toMatchObject({ degraded: ['events'] })
  expect(toPlayback({ metadata, cdnUrl, counts, degraded: ['metadata'] }, 'outbox')).toMatchObject({
    degraded: ['metadata', 'events'],
  })
})
