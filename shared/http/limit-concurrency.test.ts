import { expect, test } from 'vitest'
import { expectProblem } from '../testing/expect-problem.ts'
import { createTestService } from '../testing/test-service.ts'
import { createBaseApp } from './base-app.ts'
import { limitConcurrency } from './limit-concurrency.ts'

test('requests above the limit are rejected immediately until other requests finish', async () => {
  const finished: PromiseWithResolvers<void>[] = []
  const app = createBaseApp(createTestService()).get('/', limitConcurrency(2, 'requests'), async (c) => {
    const done = Promise.withResolvers<void>()
    finished.push(done)
    await done.promise
    return c.body('done')
  })
  const inFlight = [app.request('/'), app.request('/')]
  await expectProblem(await app.request('/'), 503)
  finished[0]?.resolve()
  finished[1]?.reject(new Error('broken'))
  expect((await Promise.all(inFlight)).map(({ status }) => status)).toEqual([200, 500])
  const next = [app.request('/'), app.request('/')]
  await expectProblem(await app.request('/'), 503)
  for (const done of finished) done.resolve()
  expect((await Promise.all(next)).map(({ status }) => status)).toEqual([200, 200])
})
