import { expect, onTestFinished, test, vi } from 'vitest'
import type { CountingState } from '../shared/contracts/counting.ts'
import type { LiveEvent } from '../shared/contracts/live.ts'
import { whileCurrent } from './current-live.ts'

test('the counts are followed only while they are current', async () => {
  const { published, become } = setUp('replaying')
  await vi.advanceTimersByTimeAsync(500)
  expect(published()).toEqual(['replaying'])
  await become('current')
  expect(published()).toEqual(['replaying', 'snapshot', 'current'])
  await become('behind')
  expect(published()).toEqual(['replaying', 'snapshot', 'current', 'stopped', 'behind'])
  await become('current')
  expect(published().slice(5)).toEqual(['snapshot', 'current'])
})

test('the state is announced once a second', async () => {
  const { published } = setUp('current')
  await vi.advanceTimersByTimeAsync(3_000)
  expect(published()).toEqual(['snapshot', 'current', 'current', 'current', 'current'])
})

test('nothing is published after the end', async () => {
  const { published, stop } = setUp('current')
  stop()
  await vi.advanceTimersByTimeAsync(3_000)
  expect(published()).toEqual(['snapshot', 'current', 'stopped'])
})

/** Records the names of the published events, the announced states, and `stopped` when following ends. */
function setUp(initial: CountingState) {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'performance'] })
  onTestFinished(() => void vi.useRealTimers())
  const published: string[] = []
  let state = initial
  const snapshot: LiveEvent = { event: 'snapshot', data: { views: 0, top: { assets: [], users: [] }, seconds: {} } }
  const source = whileCurrent(
    (publish) => {
      publish(snapshot)
      return () => void published.push('stopped')
    },
    { isCurrent: () => state === 'current', counting: () => ({ state, progress: 1 }), hear: () => undefined },
  )
  const stop = source((event) => void published.push(event.event === 'counting' ? event.data.state : event.event))
  onTestFinished(stop)
  return {
    stop,
    published: () => published,
    async become(next: CountingState) {
      state = next
      await vi.advanceTimersByTimeAsync(100)
    },
  }
}
