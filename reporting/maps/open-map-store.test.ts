import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { createLog } from '../../shared/runtime/log.ts'
import { createMetrics } from '../../shared/service/metrics.ts'
import { createTempDirectory } from '../../tests/harness/temp-directory.ts'
import { unlimited } from './capacity.ts'
import { withRules } from './checkpoint-bytes.test-suite.ts'
import { openMapCountStore } from './open-map-store.ts'

const at = '2026-11-20T21:00:00.000Z'
const view = (id: string) => ({ id, assetId: 'a', userId: 'u', at, keyed: true as const })

test('the last verdicts survive a restart, up to the maximum', async () => {
  await using directory = await createTempDirectory('map-store')
  {
    await using opened = await open(directory.path)
    const views = ['1', '2', '3'].map(view)
    await opened.store.apply({ incarnation: 'log', after: 0, through: 1, views })
  }
  await using opened = await open(directory.path, { verdicts: 2, keys: 1 })
  const { store } = opened
  expect(await store.explain('1')).toBeUndefined()
  expect(await store.explain('2')).toMatchObject({ verdict: 'not-qualified', because: { id: '1', at } })
  expect(await store.apply({ incarnation: 'log', after: 1, through: 2, views: ['3', '2'].map(view) })).toMatchObject({
    views: [{ id: '2', because: { id: '3' } }],
    retried: 1,
  })
})

test('a checkpoint whose views were judged by other rules prevents startup, and is left unchanged', async () => {
  await using directory = await createTempDirectory('map-store')
  {
    await using opened = await open(directory.path)
    await opened.store.count({ assetId: 'a', userId: 'u' })
  }
  const file = join(directory.path, 'checkpoint.bin')
  const foreign = withRules(await readFile(file), 'v0')
  await writeFile(file, foreign)
  await expect(open(directory.path)).rejects.toMatchObject({
    name: 'StartError',
    message: expect.stringContaining('set VIEW_RULES=v0'),
  })
  expect(await readFile(file)).toEqual(foreign)
})

async function open(directory: string, kept?: { verdicts: number; keys: number }) {
  await using stack = new AsyncDisposableStack()
  const store = await openMapCountStore({
    path: join(directory, 'checkpoint'),
    everyMs: 60_000,
    capacity: unlimited,
    ...(kept && { kept }),
    onReport: () => {},
    log: createLog({ name: 'reporting', level: 'silent' }),
    metrics: createMetrics(),
    resources: stack,
  })
  const resources = stack.move()
  return { store, [Symbol.asyncDispose]: () => resources.disposeAsync() }
}
