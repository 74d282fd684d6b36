import { expect, test } from 'vitest'
import { z } from 'zod'
import { eventually } from '../../tests/harness/eventually.ts'
import { runningTime } from '../../tests/harness/running-time.ts'
import { sleep } from '../runtime/sleep.ts'
import { UnavailableError } from '../runtime/unavailable-error.ts'
import { createMapStore } from '../stores/map-store.ts'
import { createTestService } from '../testing/test-service.ts'
import { createCatalogueApp } from './catalogue-app.ts'

const fields = z.object({ title: z.string() })
const entry = fields.extend({ id: z.string() }).meta({ id: 'Entry' })

function setUp() {
  const loaded = Promise.withResolvers<void>()
  const values = createMapStore([['1', { title: 'one' }]])
  let isLoaded = false
  void loaded.promise.then(() => {
    isLoaded = true
  })
  const store = {
    ...values,
    get(id: string) {
      if (!isLoaded) throw new UnavailableError('not read yet')
      return values.get(id)
    },
  }
  const invalidations = { publish() {}, subscribe() {} }
  const service = createTestService('test')
  const app = createCatalogueApp(
    { path: '/x', fields, entry },
    { ...service, store, loaded: loaded.promise, invalidations },
  )
  return { app, load: loaded.resolve }
}

test('a request during a cold start waits until the store is loaded', async () => {
  const { app, load } = setUp()
  const response = app.request('/x/asset/1')
  await sleep(50)
  load()
  expect(await (await response).json()).toEqual({ id: '1', title: 'one' })
})

test("until the store is loaded, requests fail before the edge's deadline, and probes respond immediately", async () => {
  // Retry this, because other tests may keep the machine busy.
  await eventually(async () => {
    const { app } = setUp()
    const start = runningTime()
    expect((await app.request('/healthz')).status).toBe(200)
    expect(runningTime() - start).toBeLessThan(100)
    expect((await app.request('/x/asset/1')).status).toBe(503)
    expect(runningTime() - start).toBeLessThan(500)
  })
})
