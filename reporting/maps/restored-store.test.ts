import { expect, test } from 'vitest'
import { describeCountStore } from '../count-store.test-suite.ts'
import type { ReportObserver } from '../count-store.ts'
import { describeVerdicts } from '../engine.test-suite.ts'
import type { Opened } from '../opened-store.test-suite.ts'
import { describeSeries } from '../series.test-suite.ts'
import { describeWatchTime } from '../watch.test-suite.ts'
import { decode, encode } from './checkpoint-bytes.test-suite.ts'
import { createCountState } from './count-state.ts'
import { createMapCountStore } from './map-count-store.ts'

/** Creating an index of the default size would take longer than a test run. */
const kept = { verdicts: 5_000, keys: 5_000 }

async function open(onReport: ReportObserver = () => {}, state = createCountState({ kept })): Promise<Opened> {
  return {
    counts: createMapCountStore({ onReport, state }),
    others: [],
    restart: async () => open(onReport, await decode(await encode(state), { kept, rules: state.rules })),
    [Symbol.asyncDispose]: async () => {},
  }
}

describeCountStore({ open: (onReport) => open(onReport), isPersistent: true, numRuns: 50 })
describeVerdicts({ open: () => open(), isPersistent: true, numRuns: 100 })
describeSeries({ open: () => open(), isPersistent: true, numRuns: 50 })
describeWatchTime({
  open: () => open(undefined, createCountState({ kept, rules: 'v2' })),
  isPersistent: true,
  numRuns: 100,
})

/**
 * A checkpoint from the last release without view rules. Asset a has a view by u, a view by v, and a direct count for
 * u; asset b has a view by u.
 */
const WITHOUT_RULES =
  'VklFV0NLUFQBAAAACwEAAHsiaWQiOiJzdG9yZSIsInBvc2l0aW9uIjp7ImluY2FybmF0aW9uIjoibG9nIiwic2VxdWVuY2UiOjJ9LCJ2aWV3cyI6NCwibG9zdCI6eyJ2aWV3cyI6MSwiZ2FwcyI6W3sicHJvZHVjZXIiOiJwIiwiZnJvbSI6MiwidG8iOjJ9XX0sImlzQ29tcGxldGUiOnRydWUsInNlY29uZHMiOltdLCJzZWVkcyI6eyJhc3NldCI6MSwidXNlciI6Mn0sInNpemVzIjp7InByb2R1Y2VycyI6MSwicHJldmlvdXNJZHMiOjAsImN1cnJlbnRJZHMiOjEsImFzc2V0cyI6MiwidXNlcnMiOjJ9fQsAAABbInAiLDMsMiwwXZ2vCFAiK217rMLZQRREqIsBYgEBYQMBdgEBdQNg3M6VvMuPnVMXGE/xlWAkIgIRr9/i400f1cUpfvbo4Q=='

test('the views in a checkpoint from a release without view rules are pending, and later ones are judged', async () => {
  const state = await decode(Buffer.from(WITHOUT_RULES, 'base64'))
  const counts = createMapCountStore({ state })
  const position = { stream: 'log', sequence: 2 }
  const none = { qualified: 0, notQualified: {}, direct: 0, retried: 0, rejected: 0 }
  expect(await counts.audit()).toEqual({ ...none, views: 4, pending: 4, position })
  expect(await counts.counts('asset', 'a')).toEqual({ views: 3, qualified: 0, viewers: 0 })
  expect(await counts.top('user', 'qualified', 10)).toEqual([])
  expect([await counts.explain('1'), await counts.knownSince()]).toEqual([undefined, undefined])
  const at = '2026-11-20T21:00:10.000Z'
  const views = ['a', 'a', 'b'].map((assetId, n) => ({
    id: `${n}`,
    assetId,
    userId: 'u',
    at,
    producer: 'p',
    serial: 4 + n,
  }))
  const messages = [{ sequence: 3, views: 3, at }]
  await counts.apply({ incarnation: 'log', after: 2, through: 3, views, messages })
  for (const restored of [counts, createMapCountStore({ state: await decode(await encode(state)) })]) {
    expect(await restored.audit()).toMatchObject({ views: 7, qualified: 2, pending: 4, notQualified: { repeat: 1 } })
    expect(await restored.counts('asset', 'a')).toEqual({ views: 5, qualified: 1, viewers: 1 })
    expect(await restored.top('asset', 'qualified', 10)).toMatchObject([
      { id: 'a', views: 5 },
      { id: 'b', views: 2 },
    ])
    expect(await restored.explain('1')).toMatchObject({ verdict: 'not-qualified', because: { id: '0', at } })
    expect(await restored.knownSince()).toEqual(new Date(at))
    expect((await restored.lost()).views).toBe(1)
  }
})
