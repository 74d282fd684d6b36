import { describe, expect, test } from 'vitest'
import type { FoundAsset } from './aggregate.ts'
import { addView, toPlayback, withRecorded } from './playback.ts'

const metadata = { id: '456', title: 'Terminator', genre: 'action', summary: 'Summary for terminator' }
const cdnUrl = { id: '456', url: 'path/to/asset456.mp4' }
const counts = { userviews: 4, assetviews: 0 }
const asset: FoundAsset = { metadata, cdnUrl, degraded: [] }

test('a playback has the documented fields in order', () => {
  const playback = toPlayback({ asset, counts, place: 'log' })
  expect(playback).toEqual({ ...metadata, url: 'path/to/asset456.mp4', userviews: 4, assetviews: 0 })
  expect(Object.keys(playback)).toEqual(['id', 'title', 'genre', 'summary', 'url', 'userviews', 'assetviews'])
})

test('unavailable counts are null, and reporting is listed as degraded', () => {
  const unavailable = { userviews: null, assetviews: null, degraded: ['reporting'] }
  expect(toPlayback({ asset, counts: undefined, place: 'log' })).toMatchObject(unavailable)
})

test('a play whose view is in the outbox lists events as degraded', () => {
  expect(toPlayback({ asset, counts, place: 'outbox' })).toMatchObject({ degraded: ['events'] })
  const stale: FoundAsset = { ...asset, degraded: ['metadata'] }
  expect(toPlayback({ asset: stale, counts: undefined, place: 'outbox' })).toMatchObject({
    degraded: ['metadata', 'reporting', 'events'],
  })
})

test('a view is added to both counts, if they are available', () => {
  expect(addView(counts)).toEqual({ userviews: 5, assetviews: 1 })
  expect(addView(undefined)).toBeUndefined()
})

describe('the counts with a view that was recorded during the lookup', () => {
  const recorded = { place: 'log', producer: 'p', serial: 7 } as const
  const withSerial = (serial: number | undefined) => withRecorded({ ...counts, producer: 'p', serial }, recorded)

  test('add the view if its producer is unknown, or only earlier views are counted', () => {
    for (const serial of [undefined, 6]) expect(withSerial(serial)).toEqual({ userviews: 5, assetviews: 1 })
  })

  test('do not add the view if it is counted', () => {
    for (const serial of [7, 8]) expect(withSerial(serial)).toMatchObject(counts)
  })

  test('are undefined if the lookup was for an earlier producer, or failed', () => {
    expect(withRecorded({ ...counts, producer: 'earlier', serial: 7 }, recorded)).toBeUndefined()
    expect(withRecorded(undefined, recorded)).toBeUndefined()
  })
})
