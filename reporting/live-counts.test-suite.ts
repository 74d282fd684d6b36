import { setTimeout as sleep } from 'node:timers/promises'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { LIVE_TOP, type LiveEvent, type LiveSnapshot } from '../shared/contracts/live.ts'
import { applyChanges, dropOldSeconds } from '../shared/live/reducer.ts'
import { eventually } from '../tests/harness/eventually.ts'
import { batch, view } from './batches.test-suite.ts'
import type { CountStore } from './count-store.ts'
import type { Store } from './opened-store.test-suite.ts'
import { countsOf, ranked } from './top-list.test-suite.ts'

/** The conformance suite for live counts. */
export function describeLiveCounts({ open }: Pick<Store, 'open'>) {
  describe('live counts', () => {
    test('every instance publishes a snapshot of earlier views, followed by changes', async () => {
      await using opened = await open()
      const at = new Date().toISOString()
      const second = Math.floor(Date.parse(at) / 1_000)
      await opened.counts.apply({ ...batch('log', 0, 1, []), views: [{ ...view('a'), at }] })
      const subscribers = [opened.counts, ...opened.others].map(subscribe)
      await eventually(() => expect(subscribers.map(({ events }) => events.length)).toEqual(subscribers.map(() => 1)))
      await opened.counts.apply({ ...batch('log', 1, 2, []), views: [{ ...view('b'), at }] })
      await opened.counts.count({ assetId: 'b', userId: 'v' })
      for (const { events, state, end } of subscribers) {
        await eventually(() => expect(state()?.views).toBe(3))
        const data = {
          views: 1,
          qualified: 1,
          top: {
            assets: [{ id: 'a', views: 1, qualified: 1, viewers: 1 }],
            users: [{ id: 'u', views: 1, qualified: 1 }],
          },
          seconds: { [second]: 1 },
        }
        expect(events[0]).toEqual({ event: 'snapshot', data })
        expect(events.slice(1).every(({ event }) => event === 'changes')).toBe(true)
        expect(events.flatMap(({ data }) => ('assets' in data ? Object.keys(data.assets) : []))).not.toContain('a')
        end()
      }
    })

    test('a snapshot is sent instead of changes if more than 1,000 ids have changed', async () => {
      await using opened = await open()
      const { events, end } = subscribe(opened.counts)
      await eventually(() => expect(events).toHaveLength(1))
      const ids = Array.from({ length: 1_001 }, (_, n) => `a${n}`)
      await opened.counts.apply(batch('log', 0, 1, ids))
      await eventually(() => expect(events).toHaveLength(2))
      await opened.counts.apply(batch('log', 1, 2, ids.slice(0, 999)))
      await eventually(() => expect(events).toHaveLength(3))
      expect(events.map(({ event }) => event)).toEqual(['snapshot', 'snapshot', 'changes'])
      end()
    })

    test('a burst of views causes at most 4 events per second, and none after the subscription ends', async () => {
      await using opened = await open()
      const { events, end } = subscribe(opened.counts)
      const deadline = performance.now() + 1_000
      let sequence = 0
      while (performance.now() < deadline) {
        await opened.counts.apply(batch('log', sequence, ++sequence, ['a']))
        await sleep(5)
      }
      expect(events.length).toBeLessThanOrEqual(6)
      expect(events.length).toBeGreaterThanOrEqual(3)
      end()
      const published = events.length
      await opened.counts.apply(batch('log', sequence, ++sequence, ['a']))
      await sleep(600)
      expect(events).toHaveLength(published)
    })

    test('a snapshot and changes add up to the counts', async () => {
      const ids = fc.array(
        fc.nat(400).map((n) => `a${n}`),
        { maxLength: 100, size: 'max' },
      )
      await fc.assert(
        fc.asyncProperty(fc.array(ids, { minLength: 1, maxLength: 10 }), async (batches) => {
          await using opened = await open()
          const { state, end } = subscribe(opened.others[0] ?? opened.counts)
          const at = new Date().toISOString()
          for (const [n, ids] of batches.entries()) {
            await opened.counts.apply({ ...batch('log', n, n + 1, []), views: ids.map((id) => ({ ...view(id), at })) })
            if (n === 4) await eventually(() => expect(state()).toBeDefined())
          }
          const all = batches.flat()
          await eventually(() => expect(state()?.views).toBe(all.length))
          expect(state()?.top.assets).toMatchObject(ranked(countsOf(all)).slice(0, LIVE_TOP))
          const seconds = Object.values(dropOldSeconds(state() ?? empty).seconds)
          expect(seconds.reduce((sum, views) => sum + views, 0)).toBe(all.length)
          end()
        }),
        { numRuns: 5 },
      )
    })
  })
}

const empty: LiveSnapshot = { views: 0, top: { assets: [], users: [] }, seconds: {} }

function subscribe(counts: CountStore) {
  const events: LiveEvent[] = []
  let state: LiveSnapshot | undefined
  const end = counts.follow((event) => {
    events.push(event)
    if (event.event === 'snapshot') state = event.data
    else if (state) state = applyChanges(state, event.data)
  })
  return { events, state: () => state, end }
}
