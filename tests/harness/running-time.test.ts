import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { eventually } from './eventually.ts'
import { pausedTime, repeatAfterPause, runningTime } from './running-time.ts'

const PAUSE_MS = 1_000

/** The milliseconds that pass during `work` on each clock. */
async function measure(work: () => unknown) {
  const [startedAt, runningAt, pausedAt] = [performance.now(), runningTime(), pausedTime()]
  await work()
  return { real: performance.now() - startedAt, running: runningTime() - runningAt, paused: pausedTime() - pausedAt }
}

test('without a pause, the clock measures real time', async () => {
  // The machine itself may pause during an attempt.
  await eventually(async () => {
    const { real, running, paused } = await measure(() => sleep(500))
    expect(real).toBeGreaterThan(499)
    expect(Math.abs(real - running)).toBeLessThan(5)
    expect(paused).toBe(0)
  })
})

test('in a process that is busy but never pauses for long, the clock measures real time', async () => {
  await eventually(async () => {
    const { real, running } = await measure(async () => {
      for (let n = 0; n < 20; n += 1) {
        block(25)
        await sleep(1)
      }
    })
    expect(real).toBeGreaterThan(500)
    expect(Math.abs(real - running)).toBeLessThan(5)
  })
})

test.each([
  ['the process is suspended', suspend],
  ['the event loop is blocked', () => block(PAUSE_MS)],
])('the clock stands still while %s', async (_, pause) => {
  const { real, running, paused } = await measure(pause)
  expect(real).toBeGreaterThan(PAUSE_MS * 0.9)
  expect(paused).toBeGreaterThan(PAUSE_MS * 0.8)
  expect(running + paused).toBeCloseTo(real, -1)
})

test('eventually ignores a pause, and otherwise fails after its limit', async () => {
  let attempts = 0
  await eventually(() => {
    attempts += 1
    if (attempts === 1) block(PAUSE_MS)
    expect(attempts).toBe(3)
  }, PAUSE_MS / 2)
  const failing = eventually(() => expect.fail('never'), 200)
  const { running } = await measure(() => expect(failing).rejects.toThrow('never'))
  expect(running).toBeGreaterThan(150)
  expect(running).toBeLessThan(400)
})

test('a scenario is repeated if it fails after a pause, but not otherwise', async () => {
  let attempts = 0
  await repeatAfterPause(async () => {
    attempts += 1
    if (attempts === 1) block(PAUSE_MS)
    expect(attempts).toBe(2)
  })
  await eventually(async () => {
    attempts = 0
    const broken = repeatAfterPause(async () => {
      attempts += 1
      throw new Error('broken')
    })
    await expect(broken).rejects.toThrow('broken')
    expect(attempts).toBe(1)
  })
})

/** Suspends this process for PAUSE_MS. */
async function suspend(): Promise<void> {
  const commands = [`kill -STOP ${process.pid}`, `sleep ${PAUSE_MS / 1_000}`, `kill -CONT ${process.pid}`]
  await once(spawn('sh', ['-c', commands.join('; ')]), 'exit')
}

function block(ms: number): void {
  for (const until = performance.now() + ms; performance.now() < until; );
}
