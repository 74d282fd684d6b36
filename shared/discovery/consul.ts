import type { DependencyState } from '../runtime/health.ts'
import type { Logger } from '../runtime/log.ts'
import { toOrigin } from '../runtime/origin.ts'
import { pause } from '../runtime/pause.ts'
import { createTeller } from '../runtime/teller.ts'
import { version } from '../runtime/version.ts'
import { createConsulClient, type HealthEntry, limitedTo, toInstanceOrigin } from './consul-client.ts'
import type { Discovery, Instances, Registration } from './discovery.ts'
import type { ConsulAddress, DiscoverySettings } from './settings.ts'

/** How long a service that starts may take to be ready before it registers as one that is not. */
const START_LIMIT_MS = 2_000
const START_EVERY_MS = 50
/** How often a service looks whether the agent still knows it: one that was restarted has forgotten it. */
const RENEW_MS = 1_000
/** After a failure. */
const RETRY_MS = 500
/** Calls to the agent, other than those that wait for a change, have no time-out of their own. */
const LIMITED = limitedTo(2_000)
const CHECK = { interval: '2s', timeout: '1s', deregistercriticalserviceafter: '1m' }

export type ConsulDiscovery = Discovery & { state: () => DependencyState }

type Deps = { address: ConsulAddress; settings: DiscoverySettings; log: Logger }

/**
 * Services find each other through a Consul agent: each registers itself, with a check on its `/readyz`, and follows
 * the healthy instances of those that it needs by blocking queries
 * (https://developer.hashicorp.com/consul/api-docs/features/blocking). While the agent is away, or knows no instance,
 * those that were known last stay in use.
 */
export function createConsulDiscovery({ address, settings, log }: Deps): ConsulDiscovery {
  const consul = createConsulClient(address, settings)
  const closing = new AbortController()
  /** What is being done with the agent, and whether it works. */
  const outcomes = new Map<string, 'up' | 'down'>()
  const tell = createTeller(log, 'Consul does not do what it is asked', 'Consul works again')

  function report(activity: string, error?: Error): void {
    outcomes.set(activity, error ? 'down' : 'up')
    if (error || state() === 'up') tell(error)
  }

  function state(): DependencyState {
    const all = [...outcomes.values()]
    if (all.includes('down')) return 'down'
    return all.length > 0 ? 'up' : 'unknown'
  }

  function follow(service: string, configured: readonly string[]): Instances {
    let origins = configured
    const activity = `finding ${service}`
    const watch = () => {
      if (closing.signal.aborted) return
      // Each watch begins without an index: that of an agent that was restarted would be one to wait for.
      const watching = consul.watch({
        method: consul.health.service,
        options: { service, passing: true, wait: '30s' } as never,
      })
      const stop = () => watching.end()
      closing.signal.addEventListener('abort', stop, { once: true })
      watching.on('change', (entries: HealthEntry[]) => {
        report(activity)
        const found = entries.map(toInstanceOrigin).toSorted()
        if (found.length === 0 || found.join() === origins.join()) return
        log.info({ service, origins: found }, 'instances found')
        origins = found
      })
      watching.on('error', (error) => {
        report(activity, error)
        stop()
        closing.signal.removeEventListener('abort', stop)
        setTimeout(watch, RETRY_MS).unref()
      })
    }
    watch()
    return () => origins
  }

  /** Registers again whenever the agent has lost it. */
  async function keepRegistered(definition: Definition, isReady: () => Promise<boolean>, signal: AbortSignal) {
    // Consul's own check would find out up to two seconds later.
    for (let waited = 0; waited < START_LIMIT_MS && !signal.aborted && !(await isReady()); waited += START_EVERY_MS) {
      await pause(START_EVERY_MS, signal)
    }
    while (!signal.aborted) {
      try {
        if (!(await isRegistered(definition))) await register(definition, await isReady())
        report('registering')
      } catch (error) {
        report('registering', error as Error)
      }
      await pause(RENEW_MS, signal)
    }
  }

  async function isRegistered({ id }: Definition): Promise<boolean> {
    return id in (await consul.agent.service.list({ filter: `ID == "${id}"`, ...LIMITED }))
  }

  function register(definition: Definition, ready: boolean): Promise<void> {
    const check = { ...definition.check, status: ready ? 'passing' : 'critical' }
    return consul.agent.service.register({ ...definition, ...LIMITED, check } as never)
  }

  return {
    state,
    instancesOf: follow,

    register(registration) {
      const definition = toDefinition(registration, settings.ADVERTISE_HOST)
      const leaving = new AbortController()
      const { signal } = leaving
      const keeping = keepRegistered(definition, registration.isReady, signal)
      return {
        async [Symbol.asyncDispose]() {
          leaving.abort()
          await keeping
          // An agent that is away finds out by itself.
          await consul.agent.service.deregister({ id: definition.id, ...LIMITED }).catch(() => undefined)
        },
      }
    },

    async [Symbol.asyncDispose]() {
      closing.abort()
      consul.destroy()
    },
  }
}

type Definition = ReturnType<typeof toDefinition>

/** A service definition (https://developer.hashicorp.com/consul/api-docs/agent/service). */
function toDefinition({ name, host, port }: Registration, advertised: string | undefined) {
  // Who listens on all addresses is found at that of its agent, unless told otherwise.
  const address = advertised ?? (isWildcard(host) ? '' : host)
  return {
    id: `${name}-${address || host}-${port}`,
    name,
    address,
    port,
    tags: [`v${version}`],
    check: { name: `/readyz of ${name}`, http: `${toOrigin(address || '127.0.0.1', port)}/readyz`, ...CHECK },
  }
}

function isWildcard(host: string): boolean {
  return host === '0.0.0.0' || host === '::'
}
