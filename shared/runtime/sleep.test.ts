import { expect, test } from 'vitest'
import { sleep } from './sleep.ts'

test('sleep resolves after the time has passed', async () => {
  const start = performance.now()
  await sleep(50)
  // Node's timers may be a millisecond early.
  expect(performance.now() - start).toBeGreaterThanOrEqual(49)
})

test('sleep resolves as soon as the signal aborts', async () => {
  const start = performance.now()
  await sleep(60_000, AbortSignal.timeout(20))
  await sleep(60_000, AbortSignal.abort())
  expect(performance.now() - start).toBeLessThan(1_000)
})
