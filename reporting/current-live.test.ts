import { expect, onTestFinished, test, vi } from 'vitest'
import type { LiveEvent } from '../shared/contracts/live.ts'
import { whileCurrent } from './current-live.ts'

test('the counts are followed only while they are current', async () => {
  const { published, become } = setUp(false)
  await vi.advanceTimersByTimeAsync(5_000)
  expect(published).toEqual([])
  await become(true)
  expect(published).toEqual(['snapshot'])
  await become(false)
  expect(published).toEqual(['snapshot', 'stopped'])
  await vi.advanceTimersByTimeAsync(5_000)
  await become(true)
  expect(published).toEqual(['snapshot', 'stopped', 'snapshot'])
})

test('while the counts are current, an event is published every second, even without changes', async () => {
  const { published, change } = setUp(true)
  await vi.advanceTimersByTimeAsync(1_000)
  expect(published).toEqual(['snapshot', { views: 7, assets: {} }])
  await vi.advanceTimersByTimeAsync(900)
  change()
  await vi.advanceTimersByTimeAsync(900)
  expect(published.slice(2)).toEqual([{ views: 8, assets: { a: 8 } }])
  await vi.advanceTimersByTimeAsync(100)
  expect(published.slice(3)).toEqual([{ views: 8, assets: {} }])
})

test('when the counts become current again, no heartbeat precedes the snapshot', async () => {
  const { published, become, publishLater } = setUp(true)
  await become(false)
  await vi.advanceTimersByTimeAsync(5_000)
  const publishSnapshot = publishLater()
  await become(true)
  await vi.advanceTimersByTimeAsync(3_000)
  expect(published).toEqual(['snapshot', 'stopped'])
  publishSnapshot()
  await vi.advanceTimersByTimeAsync(1_000)
  expect(published).toEqual(['snapshot', 'stopped', 'snapshot', { views: 7, assets: {} }])
})

test('nothing is published after the follower stops', async () => {
  const { published, stop } = setUp(true)
  stop()
  await vi.advanceTimersByTimeAsync(3_000)
  expect(published).toEqual(['snapshot', 'stopped'])
})

/** Records the published events, and `stopped` when the source is no longer followed. */
function setUp(initial: boolean) {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'performance'] })
  onTestFinished(() => void vi.useRealTimers())
  const published: unknown[] = []
  let isCurrent = initial
  let follower: (event: LiveEvent) => void = () => undefined
  let isDelayed = false
  const publishSnapshot = () =>
    follower({ event: 'snapshot', data: { views: 7, top: { assets: [], users: [] }, seconds: {} } })
  const source = whileCurrent(
    (publish) => {
      follower = publish
      if (!isDelayed) publishSnapshot()
      return () => void published.push('stopped')
    },
    () => isCurrent,
  )
  const stop = source(({ event, data }) => {
    published.push('assets' in data ? { views: data.views, assets: data.assets } : event)
  })
  onTestFinished(stop)
  return {
    stop,
    published,
    /** From now on, a follower gets no snapshot until the returned function is called. */
    publishLater() {
      isDelayed = true
      return publishSnapshot
    },
    change: () => follower({ event: 'changes', data: { views: 8, assets: { a: 8 }, users: {}, seconds: {} } }),
    async become(next: boolean) {
      isCurrent = next
      await vi.advanceTimersByTimeAsync(100)
    },
  }
}
