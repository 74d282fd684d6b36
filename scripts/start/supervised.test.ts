import { readFileSync } from 'node:fs'
import { setImmediate } from 'node:timers/promises'
import { expect, onTestFinished, test, vi } from 'vitest'
import { eventually } from '../../tests/harness/eventually.ts'
import { keepRunning } from './supervised.ts'

const HOUR_MS = 3_600_000

/** Keeps an idle process running until the test ends. */
function keepIdle() {
  const stopping = new AbortController()
  const quiet = { env: process.env, onLine: () => {}, say: () => {}, onInvalidSettings: () => {} }
  const supervised = keepRunning({ name: 'idle', command: 'exec sleep 600' }, quiet, stopping.signal)
  onTestFinished(async () => {
    stopping.abort()
    await supervised.stop()
  })
  return supervised
}

test('a process starts without a warning from Node', async () => {
  const warnings: Error[] = []
  const onWarning = (warning: Error) => warnings.push(warning)
  process.on('warning', onWarning)
  onTestFinished(() => void process.off('warning', onWarning))
  const supervised = keepIdle()
  await eventually(async () => expect(await supervised.status()).toMatchObject({ state: 'running', starts: 1 }))
  expect(warnings).toEqual([])
})

test('a killed process starts again on time, even if the clock is set back while it is down', async () => {
  const supervised = keepIdle()
  await eventually(async () => expect((await supervised.status()).state).toBe('running'))
  expect(supervised.crash(500)).toBe(true)
  const now = Date.now
  const clock = vi.spyOn(Date, 'now').mockImplementation(() => now() - HOUR_MS)
  onTestFinished(() => clock.mockRestore())
  await eventually(async () => expect(await supervised.status()).toMatchObject({ state: 'running', starts: 2 }), 5_000)
})

test("a restarted process never has its predecessor's status", async () => {
  const supervised = keepIdle()
  for (let starts = 1; starts <= 100; starts += 1) {
    const limit = performance.now() + 5_000
    let status = await supervised.status()
    while (status.starts < starts && performance.now() < limit) {
      await setImmediate()
      status = await supervised.status()
    }
    expect(status).toMatchObject({ state: 'running', starts })
    supervised.restart()
  }
})

test('a process that is down cannot be resumed, and its status contains the end of the fault', async () => {
  const supervised = keepIdle()
  await eventually(async () => expect((await supervised.status()).state).toBe('running'))
  supervised.crash(60_000)
  expect(supervised.resume()).toBe(false)
  await eventually(async () =>
    expect(await supervised.status()).toMatchObject({ state: 'down', until: expect.any(String) }),
  )
})

test.runIf(process.platform === 'linux')('a killed process is not reported as down before it has ended', async () => {
  for (let n = 0; n < 20; n += 1) {
    const supervised = keepIdle()
    const { pid } = await eventually(async () => {
      const status = await supervised.status()
      expect(status.state).toBe('running')
      return status
    })
    supervised.crash(60_000)
    const { state } = await supervised.status()
    const isGone = /\) [ZX] /.test(readStat(pid ?? 0) ?? ') X ')
    expect(state === 'down' && !isGone).toBe(false)
  }
})

function readStat(pid: number): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/stat`, 'latin1')
  } catch {
    return undefined
  }
}
