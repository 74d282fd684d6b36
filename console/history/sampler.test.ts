import { randomUUID } from 'node:crypto'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { createLog } from '../../shared/runtime/log.ts'
import type { Counters } from './counters.ts'
import type { Observation, Observed } from './observe.ts'
import { openHistory } from './open-history.ts'
import { readRange } from './ranges.ts'
import { createSampler } from './sampler.ts'
import { readTraffic } from './traffic.ts'

const START = Date.parse('2026-11-22T12:00:00Z')
const log = createLog({ name: 'test', level: 'silent' })
const directory = mkdtempSync(join(tmpdir(), 'history-'))
afterAll(() => rmSync(directory, { recursive: true }))

const reportingDown: Observed = { service: 'reporting', instance: '', failure: { state: 'down', reason: '' } }
const reportingUp: Observed = { service: 'reporting', instance: '' }

test('each point has the plays, errors, backlog and lag for one second', async () => {
  const edge = setUp()
  await edge.second({ plays: 3, backlog: 5, lagMs: 40 })
  await edge.second({ plays: 2, errors: 1, lagMs: 900 })
  expect(edge.history('5m').points).toEqual([
    { at: at('12:00:00'), seconds: 1, plays: 3, errors: 0, p99Ms: null, backlog: 5, lagMs: 40 },
    { at: at('12:00:01'), seconds: 1, plays: 2, errors: 1, p99Ms: null, backlog: 0, lagMs: 900 },
  ])
})

test('longer steps add up plays and errors, and keep the highest backlog and lag', async () => {
  const edge = setUp()
  for (let n = 0; n < 40; n += 1) await edge.second({ plays: n, errors: n % 2, backlog: n % 7, lagMs: 100 - n })
  expect(edge.history('1h').points).toMatchObject([
    { at: at('12:00:00'), seconds: 15, plays: 105, errors: 7, backlog: 6, lagMs: 100 },
    { at: at('12:00:15'), seconds: 15, plays: 330, errors: 8, backlog: 6, lagMs: 85 },
    { at: at('12:00:30'), seconds: 10, plays: 345, errors: 5, backlog: 6, lagMs: 70 },
  ])
  expect(edge.history('24h').points).toMatchObject([{ at: at('12:00:00'), seconds: 40, plays: 780 }])
})

test('each range ends now, and has at most 300 points, however long the edge has been running', async () => {
  const edge = setUp()
  for (let n = 0; n < 900; n += 1) await edge.second({ plays: 1 })
  expect(edge.history('5m').points).toHaveLength(299)
  expect(edge.history('5m').points.at(-1)?.at).toBe(at('12:14:59'))
  expect(edge.history('1h').points).toHaveLength(60)
  expect(edge.history('24h').points).toHaveLength(3)
})

test('the history is bounded: old steps are deleted', async () => {
  const edge = setUp()
  await edge.second({ plays: 1 })
  edge.pass(25 * 3_600)
  await edge.second({ plays: 1 })
  await edge.second({ plays: 1 })
  expect(edge.history('24h')).toMatchObject({ since: '2026-11-23T13:00:02.000Z', points: [{ plays: 2 }] })
})

test('while the edge is suspended, there are no points, and the edge counts as down', async () => {
  const edge = setUp()
  await edge.second({ plays: 3 })
  edge.pass(120)
  await edge.second({ plays: 2 })
  const { points, outages } = edge.history('5m')
  expect(points.map(({ at, plays }) => [at, plays])).toEqual([
    [at('12:00:00'), 3],
    [at('12:02:02'), 2],
  ])
  expect(outages).toEqual([
    { service: 'play', state: 'down', reason: 'suspended or blocked', from: at('12:00:01'), to: at('12:02:02') },
  ])
})

test('when the clock is set forward, the gap has no points, but is not an outage', async () => {
  const edge = setUp()
  await edge.second({ plays: 3 })
  edge.setClock(3_600)
  await edge.second({ plays: 2 })
  expect(edge.history('5m')).toMatchObject({ points: [{ at: at('13:00:02'), plays: 2 }], outages: [] })
})

test('when the clock is set back, samples that are now in the future are deleted, and sampling continues', async () => {
  const edge = setUp()
  for (let n = 0; n < 20; n += 1) await edge.second({ plays: 3, subjects: [reportingDown] })
  edge.setClock(-3_600)
  await edge.second({ plays: 2, subjects: [reportingUp] })
  await edge.second({ plays: 1, subjects: [reportingUp] })
  const { points, outages } = edge.history('24h')
  expect(points).toMatchObject([{ at: at('11:00:00'), plays: 3 }])
  expect(outages).toEqual([])
})

test('an outage lasts from the first failed observation until the next successful observation', async () => {
  const edge = setUp()
  await edge.second({ subjects: [reportingUp] })
  for (let n = 0; n < 5; n += 1) await edge.second({ subjects: [reportingDown] })
  expect(edge.history('5m').outages).toEqual([{ service: 'reporting', state: 'down', from: at('12:00:02'), to: null }])
  await edge.second({ subjects: [reportingUp] })
  expect(edge.history('5m').outages).toEqual([
    { service: 'reporting', state: 'down', from: at('12:00:02'), to: at('12:00:07') },
  ])
})

test('a single failed observation is not an outage', async () => {
  const edge = setUp()
  for (const subject of [reportingUp, reportingDown, reportingUp]) await edge.second({ subjects: [subject] })
  expect(edge.history('5m').outages).toEqual([])
})

test('observations that took too long are ignored, because the edge itself was blocked', async () => {
  const edge = setUp()
  for (let n = 0; n < 3; n += 1) await edge.second({ plays: 1, subjects: [reportingDown], tookMs: 950 })
  expect(edge.history('5m')).toMatchObject({ points: [{ plays: 1 }, { plays: 1 }, { plays: 1 }], outages: [] })
})

test('an outage does not include the time during which the edge was suspended', async () => {
  const edge = setUp()
  for (let n = 0; n < 3; n += 1) await edge.second({ subjects: [reportingDown] })
  edge.pass(60)
  for (let n = 0; n < 3; n += 1) await edge.second({ subjects: [reportingDown] })
  const outages = edge.history('5m').outages.filter(({ service }) => service === 'reporting')
  expect(outages.map(({ from, to }) => [from, to])).toEqual([
    [at('12:00:01'), at('12:00:03')],
    [at('12:01:04'), null],
  ])
})

test('an instance that reports a new start time was restarted at that time', async () => {
  const edge = setUp()
  await edge.second({ startedAt: at('11:00:00') })
  expect(edge.history('5m').restarts).toEqual([])
  edge.pass(10)
  await edge.second({ startedAt: '2026-11-22T12:00:04.500Z' })
  await edge.second({ startedAt: '2026-11-22T12:00:04.500Z' })
  expect(edge.history('5m').restarts).toEqual([{ service: 'reporting', at: '2026-11-22T12:00:04.500Z' }])
})

test('the restart of a process with a wrong clock falls between the observations before and after it', async () => {
  const edge = setUp()
  await edge.second({ startedAt: at('11:00:00') })
  edge.pass(10)
  await edge.second({ startedAt: at('15:00:00') })
  expect(edge.history('5m').restarts).toEqual([{ service: 'reporting', at: at('12:00:12') }])
})

test.each([
  ['long ago', ['11:00:00', '11:30:00']],
  ['one after the other', ['11:59:58', '12:00:01']],
])('processes that share one URL and started %s are not reported as restarted', async (_, starts) => {
  const edge = setUp()
  for (const startedAt of [...starts, ...starts]) await edge.second({ startedAt: at(startedAt) })
  expect(edge.history('5m').restarts).toEqual([])
})

test('the history adds up the plays of all processes, and the traffic includes the number of processes', async () => {
  const file = join(directory, 'shared.sqlite')
  const clock = createClock()
  const [first, second] = [setUp({ file, clock }), setUp({ file, clock })]
  await first.second({ plays: 3, backlog: 1 })
  await second.sample({ plays: 4, backlog: 2 })
  expect(second.history('5m').points).toMatchObject([{ plays: 7, backlog: 3, seconds: 1 }])
  expect(second.traffic()).toMatchObject({ processes: 2 })
})

test('the history survives a restart of the edge, and shows the outage and the restart', async () => {
  const file = join(directory, 'kept.sqlite')
  const clock = createClock()
  const before = setUp({ file, clock })
  for (let n = 0; n < 20; n += 1) await before.second({ plays: 1 })
  before.close()
  clock.pass(40)
  const after = setUp({ file, clock })
  after.start()
  expect(after.history('5m').points).toHaveLength(20)
  for (let n = 0; n < 5; n += 1) await after.second()
  expect(after.history('5m')).toMatchObject({
    outages: [{ service: 'play', state: 'down', reason: 'not running', from: at('12:00:20'), to: at('12:01:00') }],
    restarts: [{ service: 'play', at: at('12:01:00') }],
  })
})

test('a process start is an edge restart only if an earlier process has ended', async () => {
  const file = join(directory, 'started.sqlite')
  const clock = createClock()
  const run = async (seconds: number, edges: ReturnType<typeof setUp>[]) => {
    for (let n = 0; n < seconds; n += 1) {
      clock.pass(1)
      for (const edge of edges) await edge.sample({})
    }
  }
  const first = setUp({ file, clock })
  await run(20, [first])
  const second = setUp({ file, clock })
  await run(6, [first, second])
  expect(first.history('5m').restarts).toEqual([])
  const third = setUp({ file, clock })
  await run(6, [first, third])
  expect(first.history('5m').restarts).toEqual([{ service: 'play', at: at('12:00:26') }])
  await run(6, [first, third, setUp({ file, clock })])
  expect(first.history('5m').restarts).toHaveLength(1)
})

test("an edge's first start is neither a restart nor an outage", () => {
  const edge = setUp()
  edge.start()
  expect(edge.history('5m')).toMatchObject({ since: null, outages: [], restarts: [] })
})

test("when a new edge's processes start one after another, there is no restart and no outage", async () => {
  const file = join(directory, 'staggered.sqlite')
  const clock = createClock()
  clock.pass(200)
  const first = setUp({ file, clock })
  first.start()
  for (let n = 0; n < 3; n += 1) await first.second()
  const second = setUp({ file, clock })
  second.start()
  expect(second.history('5m')).toMatchObject({ outages: [], restarts: [] })
})

test('a file with damaged pages is replaced, even if the damage goes undetected when the file is opened', async () => {
  const file = join(directory, 'pages.sqlite')
  const clock = createClock()
  const before = setUp({ file, clock })
  for (let n = 0; n < 300; n += 1) await before.second({ plays: 1 })
  before.close()
  const bytes = readFileSync(file)
  writeFileSync(file, bytes.fill(0xff, 4_096 * 2))
  const edge = setUp({ file, clock })
  edge.start()
  await edge.second({ plays: 1 })
  expect(edge.history('5m').points).toHaveLength(1)
})

test('a damaged file is replaced', async () => {
  const file = join(directory, 'damaged.sqlite')
  writeFileSync(file, 'this is no database'.repeat(1_000))
  const edge = setUp({ file })
  await edge.second({ plays: 1 })
  expect(edge.history('5m').points).toHaveLength(1)
})

test('a damaged file that cannot be replaced does not keep the edge from starting', async () => {
  const file = join(directory, 'stuck.sqlite')
  writeFileSync(file, 'this is no database'.repeat(1_000))
  mkdirSync(`${file}-shm`)
  const edge = setUp({ file })
  await edge.second({ plays: 1 })
  expect(edge.history('5m').points).toHaveLength(1)
})

test('without a writable directory, the history is kept in memory', async () => {
  writeFileSync(join(directory, 'file'), '')
  const edge = setUp({ file: join(directory, 'file', 'history.sqlite') })
  await edge.second({ plays: 1 })
  expect(edge.history('5m').points).toHaveLength(1)
})

test("the traffic lists each link's rate, batch size and p99 latency; reads that need no call count as cached", async () => {
  const edge = setUp()
  for (let n = 0; n < 10; n += 1) await edge.second({ plays: 20, lookups: 2, metadataCalls: n === 9 ? 4 : 0 })
  const { edges = [], at: until } = edge.traffic() ?? {}
  expect(until).toBe(at('12:00:10'))
  const find = (to: string) => edges.find((each) => each.to === to && each.from === 'play')
  expect(find('reporting')).toMatchObject({ calls: 2, rate: 2, batch: 10, p99Ms: expect.closeTo(9.95) })
  expect(find('metadata')).toMatchObject({ calls: 4, rate: 0.8, cached: 0.96 })
})

type Second = {
  plays?: number
  errors?: number
  backlog?: number
  lagMs?: number
  lookups?: number
  metadataCalls?: number
  subjects?: Observed[]
  startedAt?: string
  /** How long the observation took. */
  tookMs?: number
}

type FakeClock = ReturnType<typeof createClock>

function createClock() {
  let wall = START
  let monotonic = 1_000_000
  return {
    wall: () => wall,
    monotonic: () => monotonic,
    pass(seconds: number) {
      wall += seconds * 1_000
      monotonic += seconds * 1_000
    },
    setClock(seconds: number) {
      wall += seconds * 1_000
    },
  }
}

/** A fake edge. The test sets its metrics and upstreams second by second. */
function setUp({ file = ':memory:', clock = createClock() }: { file?: string; clock?: FakeClock } = {}) {
  const store = openHistory(file, randomUUID(), log)
  const counters: Counters = {
    recorded: { log: 0, outbox: 0 },
    errors: 0,
    durations: new Map(),
    carried: { lookup: 0, append: 0 },
    reads: new Map([['metadata', 0]]),
  }
  let now: Second = {}
  const sampler = createSampler({
    store,
    clock,
    log,
    startedAt: new Date(clock.wall()).toISOString(),
    backlog: () => now.backlog ?? 0,
    readCounters: async () => structuredClone(counters),
    async observe() {
      clock.pass((now.tookMs ?? 0) / 1_000)
      return toObservation(now)
    },
  })
  async function sample(second: Second): Promise<void> {
    now = second
    const { plays = 0, errors = 0, lookups = 0, metadataCalls = 0 } = second
    counters.recorded.log += plays
    counters.errors += errors
    counters.carried.lookup += lookups > 0 ? plays : 0
    counters.reads.set('metadata', (counters.reads.get('metadata') ?? 0) + plays)
    add(counters, 'play reporting', lookups)
    add(counters, 'play metadata', metadataCalls)
    await sampler.sample()
  }
  return {
    start: sampler.start,
    sample,
    /** Samples the second that has just passed. */
    async second(second: Second = {}) {
      clock.pass(1 - (second.tookMs ?? 0) / 1_000)
      await sample(second)
    },
    pass: clock.pass,
    setClock: clock.setClock,
    close: () => store[Symbol.dispose](),
    history: (range: '5m' | '1h' | '24h') => readRange(store, ['play'], range, clock.wall()),
    traffic: () => readTraffic(store, sampler.p99s(), clock.wall()),
  }
}

/** Each call takes between 5 and 10 ms. */
function add({ durations }: Counters, edge: string, calls: number): void {
  const count = (durations.get(edge)?.count ?? 0) + calls
  durations.set(edge, { count, atMost: new Map([0.005, 0.01].map((bound) => [bound, bound > 0.005 ? count : 0])) })
}

function toObservation({ subjects = [], lagMs = 0, startedAt }: Second): Observation {
  const url = 'http://127.0.0.1:8082'
  return {
    subjects,
    starts: startedAt ? [{ service: 'reporting', instance: '', url, startedAt }] : [],
    deliveries: [{ url: 'http://127.0.0.1:8084', batches: 0, views: 0, p99Ms: null, lagMs }],
  }
}

/** A time on the day of the test. */
function at(time: string): string {
  return `2026-11-22T${time}.000Z`
}
