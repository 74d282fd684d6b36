import { expect, test } from 'vitest'
import type { Readiness } from '../../shared/contracts/readiness.ts'
import { createObserver } from './observe.ts'

const ready: Readiness = { status: 'ready', dependencies: {} }

test.each<[string, Readiness | undefined, object | undefined]>([
  ['is ready', ready, undefined],
  ['does not respond', undefined, { state: 'down', reason: '' }],
  ['is stopping', { ...ready, status: 'stopping' }, { state: 'degraded', reason: 'stopping' }],
  [
    'has a dependency that is down',
    { status: 'not ready', dependencies: { nats: 'down', reporting: 'up' } },
    { state: 'degraded', reason: 'nats down' },
  ],
  [
    'is replaying the log',
    { ...ready, counting: { state: 'replaying', progress: 0.5 } },
    { state: 'degraded', reason: 'replaying the log' },
  ],
  [
    'is behind the log',
    { ...ready, counting: { state: 'behind', progress: 0.5 } },
    { state: 'degraded', reason: 'the counts are behind the log' },
  ],
  [
    'is stalled',
    { status: 'degraded', dependencies: {}, forwarding: { state: 'stalled', waiting: 3 } },
    { state: 'degraded', reason: 'counting has stalled' },
  ],
])('an instance that %s is observed with its state and reason', async (_, readiness, failure) => {
  const { subjects } = await observe({ reporting: [readiness] })
  expect(subjects[0]).toEqual({ service: 'reporting', instance: '', ...(failure && { failure }) })
})

test("a service's instances are observed separately", async () => {
  const { subjects } = await observe({ reporting: [ready, undefined] })
  expect(subjects).toEqual([
    { service: 'reporting', instance: 'http://reporting:0' },
    { service: 'reporting', instance: 'http://reporting:1', failure: { state: 'down', reason: '' } },
  ])
})

test('a service without known instances is down, except play: this process is an instance of play', async () => {
  const { subjects } = await observe({ play: [], metadata: [] })
  expect(subjects).toEqual([
    { service: 'metadata', instance: '', failure: { state: 'down', reason: 'no known instances' } },
  ])
})

test('Postgres is down if a reporting instance reports it as down, and unknown while none responds', async () => {
  const failure = { state: 'down', reason: '' }
  const postgres = async (readiness: Readiness | undefined) =>
    (await observe({ reporting: [readiness] })).subjects.find(({ service }) => service === 'postgres')
  expect(await postgres({ status: 'not ready', dependencies: { postgres: 'down' } })).toMatchObject({ failure })
  expect(await postgres({ status: 'ready', dependencies: { postgres: 'up' } })).not.toHaveProperty('failure')
  expect(await postgres(undefined)).toBeUndefined()
})

test('a dependency of the edge is not down while its state is unknown', async () => {
  const { subjects } = await observe({}, { events: 'down', outbox: 'up', consul: 'unknown' })
  expect(subjects.flatMap(({ service, failure }) => (failure ? [service] : []))).toEqual(['events'])
})

function observe(
  services: Record<string, (Readiness | undefined)[]>,
  states: Record<string, 'up' | 'down' | 'unknown'> = {},
) {
  const clients = Object.entries(services).map(([name, instances]) => ({
    name,
    instances: async () => instances.map((readiness, n) => ({ url: `http://${name}:${n}`, readiness })),
  }))
  const dependencies = Object.fromEntries(Object.entries(states).map(([name, state]) => [name, () => state]))
  return createObserver({ clients, dependencies })()
}
