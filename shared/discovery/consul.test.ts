import type { IncomingMessage, ServerResponse } from 'node:http'
import { pino } from 'pino'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { eventually } from '../../tests/harness/eventually.ts'
import { startHttpServer } from '../testing/http-server.ts'
import { createConsulDiscovery } from './consul.ts'

let stack: AsyncDisposableStack
beforeEach(() => {
  stack = new AsyncDisposableStack()
})
afterEach(() => stack.disposeAsync())

test('the configured instances are used until the agent returns instances', async () => {
  const { agent, discovery } = await setUp()
  const configured = ['http://127.0.0.1:1']
  const instances = discovery.instancesOf('metadata', configured)
  expect(instances()).toBe(configured)
  expect(discovery.state()).toBe('unknown')
  await eventually(() => expect(discovery.state()).toBe('up'))
  expect(instances()).toBe(configured)
  agent.setInstances([entry('10.0.0.1', 1), entry('', 2)])
  await eventually(() => expect(instances()).toEqual(['http://10.0.0.1:1', 'http://10.9.9.9:2']))
})

test('discovery requests only healthy instances, and returns the same array until the list changes', async () => {
  const { agent, discovery } = await setUp()
  agent.setInstances([entry('10.0.0.2', 1), entry('10.0.0.1', 1)])
  const instances = discovery.instancesOf('metadata', [])
  await eventually(() => expect(instances()).toEqual(['http://10.0.0.1:1', 'http://10.0.0.2:1']))
  const before = instances()
  agent.setInstances([entry('10.0.0.1', 1), entry('10.0.0.2', 1)])
  await eventually(() => expect(agent.watches().length).toBeGreaterThan(2))
  expect(instances()).toBe(before)
  for (const { path, passing } of agent.watches()) {
    expect([path, passing]).toEqual(['/v1/health/service/metadata', 'true'])
  }
})

test('the last known instances stay in use while the agent returns no instances', async () => {
  const { agent, discovery } = await setUp()
  agent.setInstances([entry('10.0.0.1', 1)])
  const instances = discovery.instancesOf('metadata', [])
  await eventually(() => expect(instances()).toHaveLength(1))
  agent.setInstances([])
  await eventually(() => expect(agent.watches().at(-1)?.index).toBe(agent.index()))
  expect(instances()).toEqual(['http://10.0.0.1:1'])
})

test('a failed watch is retried without its index, and the failure is logged once', async () => {
  const { agent, discovery, lines } = await setUp()
  agent.setInstances([entry('10.0.0.1', 1)])
  const instances = discovery.instancesOf('metadata', [])
  await eventually(() => expect(instances()).toHaveLength(1))
  agent.fail(true)
  await eventually(() => expect(discovery.state()).toBe('down'))
  const failed = agent.watches().length
  await eventually(() => expect(agent.watches().length).toBeGreaterThan(failed + 2))
  expect(instances()).toEqual(['http://10.0.0.1:1'])
  for (const { index } of agent.watches().slice(failed)) expect(index).toBe('0')
  agent.setInstances([entry('10.0.0.2', 1)])
  agent.fail(false)
  await eventually(() => expect(instances()).toEqual(['http://10.0.0.2:1']))
  expect(discovery.state()).toBe('up')
  expect(lines.map(({ msg }) => msg)).toEqual([
    'instances found',
    'Consul is unavailable',
    'Consul has recovered',
    'instances found',
  ])
})

test('discovery is down until a failed watch recovers, even if other watches succeed', async () => {
  const { agent, discovery, lines } = await setUp()
  agent.failService('cdnurl', true)
  discovery.instancesOf('metadata', [])
  discovery.instancesOf('cdnurl', [])
  await eventually(() => expect(discovery.state()).toBe('down'))
  agent.setInstances([entry('10.0.0.1', 1)])
  await eventually(() => expect(lines.filter(({ msg }) => msg === 'instances found')).toHaveLength(1))
  expect(discovery.state()).toBe('down')
  agent.failService('cdnurl', false)
  await eventually(() => expect(discovery.state()).toBe('up'))
  expect(lines.filter(({ msg }) => msg !== 'instances found').map(({ msg }) => msg)).toEqual([
    'Consul is unavailable',
    'Consul has recovered',
  ])
})

test('a watch ends when discovery closes', async () => {
  const { agent, discovery } = await setUp()
  discovery.instancesOf('metadata', [])
  await eventually(() => expect(agent.held()).toBe(1))
  await discovery[Symbol.asyncDispose]()
  await eventually(() => expect(agent.held()).toBe(0))
  const { length } = agent.watches()
  agent.setInstances([entry('10.0.0.1', 1)])
  await new Promise((resolve) => setTimeout(resolve, 300))
  expect(agent.watches()).toHaveLength(length)
})

test('a service is registered once ready, re-registered if the agent loses it, and deregistered on disposal', async () => {
  const { agent, discovery } = await setUp()
  let isReady = false
  const registered = discovery.register({
    name: 'metadata',
    host: '127.0.0.1',
    port: 81,
    isReady: async () => isReady,
  })
  await new Promise((resolve) => setTimeout(resolve, 200))
  expect(agent.registered()).toEqual([])
  isReady = true
  await eventually(() => expect(agent.registered()).toHaveLength(1), 500)
  expect(agent.registered()[0]).toMatchObject({
    ID: 'metadata-127.0.0.1-81',
    Name: 'metadata',
    Address: '127.0.0.1',
    Port: 81,
    Check: { HTTP: 'http://127.0.0.1:81/readyz', Status: 'passing' },
  })
  agent.forget()
  await eventually(() => expect(agent.registered()).toHaveLength(1))
  await registered[Symbol.asyncDispose]()
  expect(agent.registered()).toEqual([])
  await new Promise((resolve) => setTimeout(resolve, 1_200))
  expect(agent.registered()).toEqual([])
})

test('a service that does not become ready is registered as critical after two seconds', async () => {
  const { agent, discovery } = await setUp()
  const start = performance.now()
  discovery.register({ name: 'metadata', host: '0.0.0.0', port: 81, isReady: async () => false })
  await eventually(() => expect(agent.registered()).toHaveLength(1))
  expect(performance.now() - start).toBeGreaterThan(1_900)
  expect(agent.registered()[0]).toMatchObject({
    ID: 'metadata-0.0.0.0-81',
    Address: '',
    Check: { HTTP: 'http://127.0.0.1:81/readyz', Status: 'critical' },
  })
})

type Entry = { Node: { Address: string }; Service: { ID: string; Address: string; Port: number }; Checks: [] }

function entry(address: string, port: number): Entry {
  return {
    Node: { Address: '10.9.9.9' },
    Service: { ID: `${address}-${port}`, Address: address, Port: port },
    Checks: [],
  }
}

async function setUp() {
  const agent = await startAgent()
  const lines: { msg: string }[] = []
  const log = pino({ base: null }, { write: (line) => lines.push(JSON.parse(line)) })
  const address = { host: '127.0.0.1', port: agent.port, secure: false }
  const settings = { CONSUL_HTTP_ADDR: address }
  const discovery = stack.use(createConsulDiscovery({ address, settings, log }))
  return { agent, discovery, lines }
}

/** A fake Consul agent with the HTTP API that discovery uses, including blocking queries. */
async function startAgent() {
  let entries: Entry[] = []
  let index = 1
  let isFailing = false
  const failing = new Set<string>()
  const watches: { path: string; index: string | null; passing: string | null }[] = []
  const held = new Set<() => void>()
  const services = new Map<string, { ID: string }>()

  function respond(response: ServerResponse, status: number, body: unknown): void {
    response
      .writeHead(status, { 'content-type': 'application/json', 'x-consul-index': index })
      .end(JSON.stringify(body))
  }

  function watch(response: ServerResponse, { pathname, searchParams }: URL): void {
    const seen = searchParams.get('index')
    watches.push({ path: pathname, index: seen, passing: searchParams.get('passing') })
    const send = () => {
      held.delete(send)
      if (isFailing || failing.has(pathname)) respond(response, 500, 'failing')
      else respond(response, 200, entries)
    }
    if (seen === String(index) && !isFailing) {
      held.add(send)
      response.on('close', () => held.delete(send))
    } else send()
  }

  async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(String(request.url), 'http://agent')
    if (url.pathname.startsWith('/v1/health/service/')) return watch(response, url)
    if (url.pathname === '/v1/agent/services') return respond(response, 200, Object.fromEntries(services))
    if (url.pathname === '/v1/agent/service/register') {
      const body = JSON.parse((await Array.fromAsync(request)).join(''))
      services.set(body.ID, body)
    }
    const [, id] = /^\/v1\/agent\/service\/deregister\/(.+)$/.exec(url.pathname) ?? []
    if (id) services.delete(id)
    respond(response, 200, '')
  }

  const { port } = stack.use(await startHttpServer((request, response) => void handle(request, response)))
  const release = () => {
    index += 1
    for (const send of [...held]) send()
  }
  return {
    port,
    watches: () => watches,
    held: () => held.size,
    index: () => String(index),
    registered: () => [...services.values()],
    forget: () => services.clear(),
    setInstances(next: Entry[]) {
      entries = next
      release()
    },
    fail(value: boolean) {
      isFailing = value
      release()
    },
    failService(service: string, value: boolean) {
      if (value) failing.add(`/v1/health/service/${service}`)
      else failing.delete(`/v1/health/service/${service}`)
      release()
    },
  }
}
