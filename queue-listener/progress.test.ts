import { expect, test } from 'vitest'
import type { Backlog } from '../shared/event-log/event-log.ts'
import { createMetrics } from '../shared/service/metrics.ts'
import { createProgress } from './progress.ts'

const position = { stream: '2026-11-20T21:00:00Z', sequence: 7 }

test('the first scrape says how much is not counted, and since when, of one look at the log', async () => {
  const { asked, lag } = open(async () => ({ messages: 5, since: new Date(Date.now() - 60_000) }))
  const { messages, seconds } = await lag()
  expect(messages).toBe(5)
  expect(seconds).toBeGreaterThanOrEqual(60)
  expect(seconds).toBeLessThan(70)
  expect(asked()).toBe(1)
  await lag()
  expect(asked()).toBe(2)
})

test('where all is counted, nothing waits', async () => {
  expect(await open(async () => ({ messages: 0, since: undefined })).lag()).toEqual({ messages: 0, seconds: 0 })
})

test('where the log does not say, there is no value', async () => {
  const { lag } = open(() => Promise.reject(new Error('down')))
  expect(await lag()).toEqual({ messages: Number.NaN, seconds: Number.NaN })
})

/** What the metrics say of a log with this backlog. */
function open(backlog: () => Promise<Backlog>) {
  const metrics = createMetrics()
  let asked = 0
  createProgress({
    metrics,
    reporting: { position: async () => position },
    eventLog: {
      backlog(after) {
        asked += 1
        expect(after).toEqual(position)
        return backlog()
      },
    },
  })
  async function lag() {
    const text = await metrics.metrics()
    const value = (name: string) => Number.parseFloat(new RegExp(`^${name} (\\S+)$`, 'm').exec(text)?.[1] ?? '')
    return { messages: value('event_log_lag_messages'), seconds: value('event_log_lag_seconds') }
  }
  return { lag, asked: () => asked }
}
