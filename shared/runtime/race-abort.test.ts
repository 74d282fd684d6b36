import { getEventListeners } from 'node:events'
import { expect, test } from 'vitest'
import { raceAbort } from './race-abort.ts'

const never = new AbortController().signal
const pending = new Promise<string>(() => {})

test('without an abort, raceAbort settles like the work', async () => {
  expect(await raceAbort(Promise.resolve('done'), never)).toBe('done')
  expect(await raceAbort(Promise.resolve('done'))).toBe('done')
  await expect(raceAbort(Promise.reject(new Error('broken')), never)).rejects.toThrow('broken')
})

test('raceAbort rejects with the reason of the first signal that aborts', async () => {
  const [one, other] = [new AbortController(), new AbortController()]
  const racing = raceAbort(pending, one.signal, other.signal)
  other.abort(new Error('the other'))
  one.abort(new Error('the one'))
  await expect(racing).rejects.toThrow('the other')
})

test('raceAbort rejects if a signal is already aborted', async () => {
  await expect(raceAbort(pending, never, AbortSignal.abort(new Error('before')))).rejects.toThrow('before')
})

test('raceAbort removes its abort handlers', async () => {
  const { signal } = new AbortController()
  await raceAbort(Promise.resolve(), signal)
  await raceAbort(Promise.reject(new Error('broken')), signal).catch(() => undefined)
  expect(getEventListeners(signal, 'abort')).toEqual([])
})

test('work that fails after the abort causes no unhandled rejection', async () => {
  const work = Promise.withResolvers<void>()
  await expect(raceAbort(work.promise, AbortSignal.abort(new Error('before')))).rejects.toThrow('before')
  work.reject(new Error('late'))
  await new Promise(setImmediate)
})
