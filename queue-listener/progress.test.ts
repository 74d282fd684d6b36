import { describe, expect, test, vi } from 'vitest'
import type { LogPosition } from '../shared/contracts/position.ts'
import { emptyBatch } from '../shared/event-log/batch-builder.ts'
import type { Backlog, LogBatch } from '../shared/event-log/event-log.ts'
import { createMetrics } from '../shared/service/metrics.ts'
import { useFakeClock } from '../shared/testing/fake-clock.ts'
import { createProgress } from './progress.ts'

const position: LogPosition = { incarnation: '2026-11-20T21:00:00Z', sequence: 7 }

describe('the lag', () => {
  test('is the number of uncounted messages and the age of the oldest one, measured once per scrape', async () => {
    const { lag, measuredAfter } = setUp({
      backlog: async () => ({ messages: 5, since: new Date(Date.now() - 60_000) }),
    })
    const { messages, seconds } = await lag()
    expect(messages).toBe(5)
    expect(seconds).toBeGreaterThanOrEqual(60)
    expect(seconds).toBeLessThan(70)
    expect(measuredAfter).toEqual([position])
    await lag()
    expect(measuredAfter).toEqual([position, position])
  })

  test('is 0 if everything is counted', async () => {
    const { lag } = setUp({ backlog: async () => ({ messages: 0, since: undefined }) })
    expect(await lag()).toEqual({ messages: 0, seconds: 0 })
  })

  test("is not negative if the log's clock is ahead", async () => {
    const { lag } = setUp({ backlog: async () => ({ messages: 1, since: new Date(Date.now() + 60_000) }) })
    expect(await lag()).toEqual({ messages: 1, seconds: 0 })
  })

  test('is NaN while the log is unavailable', async () => {
    const { lag } = setUp({ backlog: () => Promise.reject(new Error('down')) })
    expect(await lag()).toEqual({ messages: Number.NaN, seconds: Number.NaN })
  })

  test('is NaN if the log does not respond within a second', async () => {
    useFakeClock()
    const { lag } = setUp({ backlog: () => new Promise(() => undefined) })
    const measuring = lag()
    await vi.advanceTimersByTimeAsync(999)
    expect(await Promise.race([measuring, 'pending'])).toBe('pending')
    await vi.advanceTimersByTimeAsync(1)
    expect(await measuring).toEqual({ messages: Number.NaN, seconds: Number.NaN })
  })

  test('is measured from the last known position while reporting is down', async () => {
    let isDown = false
    const { lag, measuredAfter, report } = setUp({
      readPosition: () => (isDown ? Promise.reject(new Error('down')) : Promise.resolve(position)),
    })
    await lag()
    isDown = true
    await lag()
    report({ through: 9 })
    await lag()
    expect(measuredAfter).toEqual([position, position, { ...position, sequence: 9 }])
  })
})

test('the metrics show total views, total dead letters and the latest position', async () => {
  const { report, sample } = setUp()
  const view = { id: 'x', assetId: 'a', userId: 'u', at: '2026-11-20T21:00:00Z' }
  report({ through: 8, views: [view, view], deadLetters: 0 })
  report({ through: 9, views: [view], deadLetters: 3 })
  expect(await sample('forwarded_views_total')).toBe(3)
  expect(await sample('rejected_messages_total')).toBe(3)
  expect(await sample('event_log_position')).toBe(9)
})

test('dead_letters counts the unresolved dead letters, and is NaN while the log is unavailable', async () => {
  expect(await setUp({ count: async () => 2 }).sample('dead_letters')).toBe(2)
  expect(await setUp({ count: () => Promise.reject(new Error('down')) }).sample('dead_letters')).toBe(Number.NaN)
})

type Fakes = {
  backlog?: () => Promise<Backlog>
  readPosition?: () => Promise<LogPosition | undefined>
  count?: () => Promise<number>
}

/** The metrics for a log with this backlog, and the positions from which the lag was measured. */
function setUp({
  backlog = async () => ({ messages: 0, since: undefined }),
  readPosition = async () => position,
  count = async () => 0,
}: Fakes = {}) {
  const metrics = createMetrics()
  const measuredAfter: (LogPosition | undefined)[] = []
  const onForwarded = createProgress({
    metrics,
    reporting: { position: readPosition },
    eventLog: {
      backlog(after) {
        measuredAfter.push(after)
        return backlog()
      },
      deadLetters: { count },
    },
  })
  async function samples(...names: string[]): Promise<number[]> {
    const text = await metrics.metrics()
    return names.map((name) => Number.parseFloat(new RegExp(`^${name} (\\S+)$`, 'm').exec(text)?.[1] ?? ''))
  }
  return {
    measuredAfter,
    report(batch: Partial<LogBatch>) {
      const { incarnation } = position
      onForwarded({ ...emptyBatch({ incarnation, after: 0, first: 1 }), ...batch })
    },
    async sample(name: string) {
      const [value] = await samples(name)
      return value
    },
    async lag() {
      const [messages, seconds] = await samples('event_log_lag_messages', 'event_log_lag_seconds')
      return { messages, seconds }
    },
  }
}
