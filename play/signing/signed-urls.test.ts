import { describe, expect, test } from 'vitest'
import { createSignedUrls } from './signed-urls.ts'

const START = Date.parse('2026-11-22T10:00:00Z')
const MINUTE_MS = 60_000

function setUp(ttlMs = 6 * 60 * MINUTE_MS, prefixes?: string[]) {
  const clock = { now: START }
  let signatures = 0
  const signer = {
    sign(url: string, expires: number) {
      signatures += 1
      return `${url} until ${expires}`
    },
  }
  const toPlayerUrl = createSignedUrls({ signer, prefixes, ttlMs, max: 10, now: () => clock.now })
  return { clock, toPlayerUrl, signatures: () => signatures }
}

const secondsOf = (url: string) => Number(url.split(' until ')[1])

describe('a URL', () => {
  test('is signed once per window, however often it is read or loaded', () => {
    const { clock, toPlayerUrl, signatures } = setUp()
    clock.now += 1
    const read = toPlayerUrl('a.mp4')
    const first = read()
    clock.now = START + 5 * MINUTE_MS
    expect([read(), toPlayerUrl('a.mp4')()]).toEqual([first, first])
    expect(signatures()).toBe(1)
    clock.now += 1
    expect(read()).not.toBe(first)
    expect(toPlayerUrl('a.mp4')()).toBe(read())
    expect(signatures()).toBe(2)
  })

  test.each([
    ['6h', 21_600, 300],
    ['50m', 3_000, 300],
    ['10m', 600, 60],
    ['1m', 60, 6],
    ['25s', 25, 2],
    ['1500ms', 1.5, 1],
    ['1s', 1, 1],
  ])('with a TTL of %s is valid for %d seconds, and up to %d more', (_, ttl, window) => {
    const { clock, toPlayerUrl } = setUp(ttl * 1_000)
    const read = toPlayerUrl('a.mp4')
    for (const passed of [0, 1, 499, 1_000, 1_001, 2_500, 59_999, 300_000, 300_001, 777_777]) {
      clock.now = START + passed
      const expires = secondsOf(read())
      const remaining = expires - clock.now / 1_000
      expect(expires % window).toBe(0)
      expect(remaining).toBeGreaterThanOrEqual(ttl)
      expect(remaining).toBeLessThan(ttl + window)
    }
  })

  test('that was signed while the clock was ahead is signed again', () => {
    const { clock, toPlayerUrl } = setUp()
    clock.now = START + 365 * 24 * 60 * MINUTE_MS
    const read = toPlayerUrl('a.mp4')
    read()
    clock.now = START
    expect(secondsOf(read())).toBe(START / 1_000 + 21_600)
    expect(secondsOf(toPlayerUrl('a.mp4')())).toBe(START / 1_000 + 21_600)
  })
})

test.each(['https://other.example/a.mp4', 'HTTP://other.example/clips/a.mp4'])('%s is returned unchanged', (url) => {
  expect(setUp().toPlayerUrl(url)()).toBe(url)
})

describe('with prefixes', () => {
  const toPlayerUrl = (url: string) => setUp(undefined, ['clips/', 'films/new']).toPlayerUrl(url)()

  test.each(['clips/a.mp4', '/clips/a.mp4', 'clips/../a.mp4', '%63lips/a.mp4', 'films/newer/a.mp4'])(
    '%s is signed',
    (url) => {
      expect(toPlayerUrl(url)).toContain(`${url} until `)
    },
  )

  test.each([
    'path/to/asset456.mp4',
    'clips',
    'clipsa.mp4',
    'Clips/a.mp4',
    'a/clips/a.mp4',
    './clips/a.mp4',
    'films/old',
  ])('%s is returned unchanged', (url) => {
    expect(toPlayerUrl(url)).toBe(url)
  })
})
