import { pino } from 'pino'
import { expect, test, vi } from 'vitest'
import { createMetrics } from '../service/metrics.ts'
import { useFakeClock } from '../testing/fake-clock.ts'
import { CircuitOpenError, withCircuitBreaker } from './circuit-breaker.ts'
import { instrumentClient } from './instrument-client.ts'
import { type CallOptions, type ServiceClient, type ServiceResponse, UpstreamError } from './service-client.ts'

type Behaviour = 'succeed' | 'fail' | 'hang'

test('the circuit opens after two failures, and calls then fail without being sent', async () => {
  const { client, calls, behave } = setUp()
  behave('fail')
  await expect(client.get('/', options())).rejects.toThrow('broken')
  expect(client.circuit()).toBe('closed')
  await expect(client.post('/', {}, options())).rejects.toThrow('broken')
  expect(client.circuit()).toBe('open')
  await expect(client.get('/', options())).rejects.toThrow(CircuitOpenError)
  await expect(client.get('/', options())).rejects.toThrow('the circuit to test is open')
  expect(calls()).toBe(2)
})

test('the circuit opens when more than half of the calls have failed', async () => {
  const { client, behave } = setUp()
  for (const [behaviour, circuit] of [
    ['succeed', 'closed'],
    ['succeed', 'closed'],
    ['succeed', 'closed'],
    ['fail', 'closed'],
    ['fail', 'closed'],
    ['fail', 'closed'],
    ['fail', 'open'],
  ] as const) {
    behave(behaviour)
    await client.get('/', options()).catch(() => undefined)
    expect(client.circuit()).toBe(circuit)
  }
})

test('after half a second, one call probes the service, and its success closes the circuit', async () => {
  const { client, calls, behave, lines } = await setUpOpen()
  behave('hang')
  await vi.advanceTimersByTimeAsync(499)
  await expect(client.get('/', options())).rejects.toThrow(CircuitOpenError)
  expect(calls()).toBe(2)
  await vi.advanceTimersByTimeAsync(1)
  const probe = expect(client.get('/', options())).rejects.toThrow('aborted')
  expect(client.circuit()).toBe('half-open')
  expect(calls()).toBe(3)
  await vi.advanceTimersByTimeAsync(150)
  await probe
  expect(client.circuit()).toBe('open')
  behave('succeed')
  await vi.advanceTimersByTimeAsync(500)
  expect(await client.get('/', options())).toEqual({ status: 200, body: {} })
  expect(client.circuit()).toBe('closed')
  expect(lines).toEqual([
    { level: 40, upstream: 'test', msg: 'circuit opened' },
    { level: 30, upstream: 'test', msg: 'circuit closed' },
  ])
  behave('fail')
  for (let n = 0; n < 2; n += 1) await client.get('/', options()).catch(() => undefined)
  expect(lines.slice(2)).toEqual([{ level: 40, upstream: 'test', msg: 'circuit opened' }])
})

test('a probe times out after 150 ms, but other calls do not', async () => {
  const closed = setUp()
  closed.behave('hang')
  const stop = new AbortController()
  const call = expect(closed.client.get('/', { signal: stop.signal })).rejects.toThrow('aborted')
  await vi.advanceTimersByTimeAsync(10_000)
  expect(closed.aborted()).toBe(0)
  stop.abort()
  await call
  const { client, behave, aborted } = await setUpOpen()
  behave('hang')
  await vi.advanceTimersByTimeAsync(500)
  const probe = expect(client.get('/', options())).rejects.toThrow('aborted')
  await vi.advanceTimersByTimeAsync(149)
  expect(aborted()).toBe(0)
  await vi.advanceTimersByTimeAsync(1)
  expect(aborted()).toBe(1)
  await probe
})

test('a call whose deadline has passed is not sent, and does not count as a failure', async () => {
  const { client, calls } = setUp()
  const signal = AbortSignal.abort(new Error('deadline'))
  for (let n = 0; n < 5; n += 1) {
    await expect(client.get('/', { signal })).rejects.toMatchObject({
      name: 'CircuitOpenError',
      message: 'test was not called',
      cause: { message: 'deadline' },
    })
  }
  expect(calls()).toBe(0)
  expect(client.circuit()).toBe('closed')
})

test('the gauge shows the state of each circuit', async () => {
  const { client, metrics, behave } = await setUpOpen()
  withCircuitBreaker({ ...client, name: 'other' }, { log: pino({ level: 'silent' }), metrics })
  const gauge = async () => {
    const [metric] = (await metrics.getMetricsAsJSON()).filter(({ name }) => name === 'circuit_breaker_state')
    return metric?.values.filter(({ value }) => value === 1).map(({ labels }) => [labels.upstream, labels.state])
  }
  expect(await gauge()).toEqual([
    ['test', 'open'],
    ['other', 'closed'],
  ])
  behave('succeed')
  await vi.advanceTimersByTimeAsync(500)
  await client.get('/', options())
  expect(await gauge()).toEqual([
    ['test', 'closed'],
    ['other', 'closed'],
  ])
  expect(await metrics.metrics()).toContain('circuit_breaker_state{upstream="test",state="open"} 0')
})

test('call durations are recorded by outcome', async () => {
  const { client, metrics, behave } = setUp()
  const measured = instrumentClient(client, metrics)
  instrumentClient({ ...client, name: 'other' }, metrics)
  const count = async (outcome: string, upstream = 'test') => {
    const line = `http_client_request_duration_seconds_count{upstream="${upstream}",outcome="${outcome}"} `
    return (await metrics.metrics())
      .split('\n')
      .find((text) => text.startsWith(line))
      ?.slice(line.length)
  }
  for (const outcome of ['answered', 'failed', 'timed_out', 'not_asked']) {
    expect([await count(outcome), await count(outcome, 'other')]).toEqual(['0', '0'])
  }
  expect(await measured.get('/', options())).toMatchObject({ status: 200 })
  await measured.post('/', {}, options())
  behave('hang')
  const deadline = expect(measured.get('/', { signal: AbortSignal.timeout(100) })).rejects.toThrow('aborted')
  await vi.advanceTimersByTimeAsync(100)
  await deadline
  behave('fail')
  for (let n = 0; n < 2; n += 1) await expect(measured.get('/', options())).rejects.toThrow('broken')
  await expect(measured.get('/', options())).rejects.toThrow(CircuitOpenError)
  expect(await Promise.all(['answered', 'failed', 'timed_out', 'not_asked'].map((one) => count(one)))).toEqual([
    '2',
    '2',
    '1',
    '1',
  ])
  expect(await metrics.metrics()).toContain(
    'http_client_request_duration_seconds_sum{upstream="test",outcome="timed_out"} 0.1\n',
  )
})

function options(): CallOptions {
  return { signal: new AbortController().signal }
}

/** A circuit breaker around a fake client, with a fake clock. */
function setUp() {
  useFakeClock()
  let behaviour: Behaviour = 'succeed'
  let calls = 0
  let aborted = 0
  async function call({ signal }: CallOptions): Promise<ServiceResponse> {
    calls += 1
    if (behaviour === 'fail') throw new UpstreamError('broken')
    if (behaviour === 'succeed') return { status: 200, body: {} }
    const { promise, reject } = Promise.withResolvers<never>()
    signal.addEventListener('abort', () => {
      aborted += 1
      reject(new UpstreamError('aborted'))
    })
    return promise
  }
  const service: ServiceClient = {
    name: 'test',
    get: (_, options) => call(options),
    post: (_path, _body, options) => call(options),
    stream: () => Promise.reject(new UpstreamError('no stream')),
    state: async () => 'up',
    reason: () => undefined,
    instances: async () => [],
    getAll: async () => [],
    async [Symbol.asyncDispose]() {},
  }
  const lines: object[] = []
  const log = pino({ base: null, timestamp: false }, { write: (line) => lines.push(JSON.parse(line)) })
  const metrics = createMetrics()
  return {
    client: withCircuitBreaker(service, { log, metrics }),
    metrics,
    lines,
    calls: () => calls,
    aborted: () => aborted,
    behave: (next: Behaviour) => {
      behaviour = next
    },
  }
}

/** A circuit breaker whose circuit is open after two failed calls. */
async function setUpOpen() {
  const all = setUp()
  all.behave('fail')
  for (let n = 0; n < 2; n += 1) await all.client.get('/', options()).catch(() => undefined)
  expect(all.client.circuit()).toBe('open')
  return all
}
