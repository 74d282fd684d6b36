import { addAbortListener } from 'node:events'
import { READINESS } from '../contracts/probes.ts'
import type { DependencyState } from '../contracts/readiness.ts'
import type { Logger } from '../runtime/log.ts'
import { toOrigin } from '../runtime/origin.ts'
import { retry } from '../runtime/retry.ts'
import { sleep } from '../runtime/sleep.ts'
import { createTransitionLog } from '../runtime/transition-log.ts'
import { version } from '../runtime/version.ts'
import { createConsulClient, type HealthEntry, toInstanceOrigin, withTimeout } from './consul-client.ts'
import type { Discovery, Instances, Registration } from './discovery.ts'
import type { ConsulAddress, DiscoverySettings } from './settings.ts'

/** How long to wait for a starting service to become ready before it is registered as critical. */
const STARTUP_MS = 2_000
const STARTUP_POLL_MS = 50
/** How often to check that the agent still has the registration, which is lost when the agent restarts. */
const RENEW_MS = 1_000
/** The library sets no timeout on calls other than blocking queries. */
const TIMEOUT = withTimeout(2_000)
const CHECK = { interval: '2s', timeout: '1s', deregistercriticalserviceafter: '1m' }

type ConsulDiscovery = Discovery & { state: () => DependencyState }

type Deps = { address: ConsulAddress; settings: DiscoverySettings; log: Logger }

/**
 * Discovery through a Consul agent. Each service registers itself with a check on its `/readyz`, and watches the
 * healthy instances of its upstreams with blocking queries
 * (https://developer.hashicorp.com/consul/api-docs/features/blocking). While the agent is unreachable or returns no
 * instances, the last known instances stay in use.
 */
export function createConsulDiscovery({ address, settings, log }: Deps): ConsulDiscovery {
  const consul = createConsulClient(address, settings)
  const shutdown = new AbortController()
  /** Whether the agent was up when each activity, such as `registering`, last used it. */
  const states = new Map<string, 'up' | 'down'>()
  const logTransition = createTransitionLog(log, {
    failing: 'Consul is unavailable',
    recovered: 'Consul has recovered',
  })

  function report(activity: string, error?: unknown): void {
    states.set(activity, error === undefined ? 'up' : 'down')
    if (error !== undefined || state() === 'up') logTransition(error)
  }

  function state(): DependencyState {
    const all = [...states.values()]
    if (all.includes('down')) return 'down'
    return all.length > 0 ? 'up' : 'unknown'
  }

  function instancesOf(service: string, configured: readonly string[]): Instances {
    const activity = `watching ${service}`
    let origins = configured
    const update = (entries: HealthEntry[]) => {
      report(activity)
      const found = entries.map(toInstanceOrigin).toSorted()
      if (found.length === 0 || found.join() === origins.join()) return
      log.info({ service, origins: found }, 'instances found')
      origins = found
    }
    void retry(
      (resetBackoff) =>
        watchHealthy(service, (entries) => {
          resetBackoff()
          update(entries)
        }),
      { signal: shutdown.signal, onFailure: (error) => report(activity, error) },
    )
    return () => origins
  }

  /** Watches until discovery closes. Each watch starts without an index, because a restarted agent resets the index. */
  async function watchHealthy(service: string, onChange: (entries: HealthEntry[]) => void): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const options = { service, passing: 'true', wait: '30s' }
    const watch = consul.watch({ method: consul.health.service, options })
    watch.on('change', onChange)
    watch.on('error', reject)
    using _ = addAbortListener(shutdown.signal, () => resolve())
    try {
      await promise
    } finally {
      watch.end()
    }
  }

  async function keepRegistered(definition: Definition, isReady: () => Promise<boolean>, signal: AbortSignal) {
    // Poll, because Consul's health check would detect readiness up to two seconds later.
    for (let waited = 0; waited < STARTUP_MS && !signal.aborted && !(await isReady()); waited += STARTUP_POLL_MS) {
      await sleep(STARTUP_POLL_MS, signal)
    }
    while (!signal.aborted) {
      try {
        if (!(await isRegistered(definition))) await register(definition, await isReady())
        report('registering')
      } catch (error) {
        report('registering', error)
      }
      await sleep(RENEW_MS, signal)
    }
  }

  async function isRegistered({ id }: Definition): Promise<boolean> {
    return id in (await consul.agent.service.list({ filter: `ID == "${id}"`, ...TIMEOUT }))
  }

  function register(definition: Definition, isReady: boolean): Promise<void> {
    const check = { ...definition.check, status: isReady ? 'passing' : 'critical' }
    return consul.agent.service.register({ ...definition, ...TIMEOUT, check })
  }

  return {
    state,
    instancesOf,
    register(registration) {
      const definition = toDefinition(registration, settings.ADVERTISE_HOST)
      const stop = new AbortController()
      const renewal = keepRegistered(definition, registration.isReady, stop.signal)
      return {
        async [Symbol.asyncDispose]() {
          stop.abort()
          await renewal
          // If the agent is unreachable, the failing health check removes the instance later.
          await consul.agent.service.deregister({ id: definition.id, ...TIMEOUT }).catch(() => undefined)
        },
      }
    },
    async [Symbol.asyncDispose]() {
      shutdown.abort()
      consul.destroy()
    },
  }
}

type Definition = ReturnType<typeof toDefinition>

/** A service definition (https://developer.hashicorp.com/consul/api-docs/agent/service). */
function toDefinition({ name, host, port }: Registration, advertised: string | undefined) {
  // By default, Consul uses the agent's address, which is correct for a process that listens on all addresses.
  const address = advertised ?? (isWildcard(host) ? '' : host)
  return {
    id: `${name}-${address || host}-${port}`,
    name,
    address,
    port,
    tags: [`v${version}`],
    check: { name: `${READINESS} of ${name}`, http: toOrigin(address || '127.0.0.1', port) + READINESS, ...CHECK },
  }
}

function isWildcard(host: string): boolean {
  return host === '0.0.0.0' || host === '::'
}
