import { setFlagsFromString } from 'node:v8'
import { openDiscovery } from '../discovery/open.ts'
import { discoverySettings } from '../discovery/settings.ts'
import { toInformation, USAGE_STATUS, UsageError } from '../runtime/command-line.ts'
import { trustedProxies } from '../runtime/ip-address.ts'
import { createLog } from '../runtime/log.ts'
import { createPrivateFiles } from '../runtime/private-files.ts'
import {
  clientConnections,
  describeSettings,
  host,
  loadSettings,
  logLevel,
  port,
  type Settings,
  type SettingsShape,
} from '../runtime/settings.ts'
import { openTracing } from '../tracing/open.ts'
import { tracingSettings } from '../tracing/settings.ts'
import { allowedHosts } from './hosts.ts'
import type { Address } from './listen.ts'
import { createService, type Service, StartError, stopped } from './service.ts'

/** Maximum duration of a graceful shutdown. */
export const SHUTDOWN_MS = 10_000

type CommonShape = ReturnType<typeof commonSettings>
/** The settings that every service has. */
export type CommonSettings = Settings<CommonShape>
export type ServiceSettings<Shape extends SettingsShape> = CommonSettings & Settings<Shape>

/** A service: its settings, and a function that starts it with them. */
type ServiceDefinition<Shape extends SettingsShape> = {
  name: string
  port: number
  settings: Shape
  /** Opens the service's `resources`, and resolves once the service listens. */
  start(service: Service, settings: ServiceSettings<Shape>): Promise<Address>
}

/**
 * Runs a service in this process until SIGTERM or SIGINT.
 * Exit status: 0 stopped, 1 failed or did not stop in time, 2 invalid settings.
 */
export async function runService<Shape extends SettingsShape>(definition: ServiceDefinition<Shape>): Promise<void> {
  const { name, settings: ownSettings, start } = definition
  const common = commonSettings(definition.port)
  const [, script = '', ...args] = process.argv
  const source = { args, env: process.env }
  const information = toInformation(args, () => describeSettings(script, { ...common, ...ownSettings }))
  if (information !== undefined) {
    process.stdout.write(information)
    return
  }
  createPrivateFiles()
  switchOffPretenuring()
  try {
    const settings = { ...loadSettings(common, source), ...loadSettings(ownSettings, source) }
    const log = createLog({ name, level: settings.LOG_LEVEL })
    // Handle signals before anything is opened, so that they always cause a graceful shutdown.
    const stopping = stopSignal()
    {
      await using tracing = await openTracing(settings, { name, log })
      await using discovery = await openDiscovery(settings, log)
      const service = createService({ name, log, stopping, discovery, tracing })
      await using _ = service.resources
      await start(service, settings)
      await stopped(service)
    }
    log.info('stopped')
  } catch (error) {
    reportFailure(name, error)
  }
}

/**
 * With pretenuring, V8 allocates objects directly in the old generation if earlier objects of the same kind, such as
 * requests in flight, survived the first collections. Later requests then stay in memory after they finish, with
 * everything that they refer to, until the next major collection. Node refuses the flag in NODE_OPTIONS.
 */
function switchOffPretenuring(): void {
  setFlagsFromString('--no-allocation-site-pretenuring')
}

function commonSettings(defaultPort: number) {
  return {
    PORT: port(defaultPort),
    HOST: host,
    LOG_LEVEL: logLevel,
    CLIENT_CONNECTIONS: clientConnections,
    TRUSTED_PROXIES: trustedProxies,
    ALLOWED_HOSTS: allowedHosts,
    ...discoverySettings,
    ...tracingSettings,
  }
}

function stopSignal(): AbortSignal {
  const controller = new AbortController()
  const stop = () => {
    // Ctrl-C may reach a process twice: from the terminal and from its supervisor.
    if (controller.signal.aborted) return
    controller.abort()
    setTimeout(() => process.exit(1), SHUTDOWN_MS).unref()
  }
  process.on('SIGTERM', stop)
  process.on('SIGINT', stop)
  return controller.signal
}

function reportFailure(name: string, error: unknown): void {
  const isExpected = error instanceof UsageError || error instanceof StartError
  const text = error instanceof Error ? (isExpected ? error.message : error.stack) : String(error)
  process.stderr.write(`${name}: ${text}\n`)
  process.exitCode = error instanceof UsageError ? USAGE_STATUS : 1
}
