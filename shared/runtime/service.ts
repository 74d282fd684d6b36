import { once } from 'node:events'
import type { Discovery } from '../discovery/discovery.ts'
import { openDiscovery } from '../discovery/open.ts'
import { discoverySettings } from '../discovery/settings.ts'
import { createStaticDiscovery } from '../discovery/static.ts'
import { openTracing } from '../tracing/open.ts'
import { tracingSettings } from '../tracing/settings.ts'
import { passingOn, type Tracing } from '../tracing/tracing.ts'
import { createHealth, type Health } from './health.ts'
import { ListenError } from './listen.ts'
import { createLog, type Logger } from './log.ts'
import { createMetrics, type Metrics } from './metrics.ts'
import {
  describeSettings,
  host,
  loadSettings,
  logLevel,
  port,
  type Settings,
  SettingsError,
  type SettingsShape,
  type SettingsSource,
  wantsHelp,
} from './settings.ts'

/** How long a service may take to finish what is under way after SIGTERM. */
const SHUTDOWN_LIMIT_MS = 10_000

/** What every service has, whatever it does. */
export type Service = {
  name: string
  log: Logger
  health: Health
  metrics: Metrics
  discovery: Discovery
  tracing: Tracing
  /** Aborts on SIGTERM and SIGINT: time to finish. */
  stopping: AbortSignal
}

type Definition<Shape extends SettingsShape> = { name: string; port: number; settings: Shape; script: string }

/**
 * Runs a process: reads its settings, calls `compose`, and sees to signals, exit status and last resort.
 * `compose` opens what it needs with `await using`, awaits `stopped(service)`, and returns; what it opened then closes
 * in reverse order. Exit status: 0 stopped, 1 failed or did not stop in time, 2 wrong settings.
 */
export async function runService<Shape extends SettingsShape>(
  { name, port: defaultPort, settings: own, script }: Definition<Shape>,
  compose: (service: Service, settings: Settings<CommonShape> & Settings<Shape>) => Promise<void>,
): Promise<void> {
  const common = commonSettings(defaultPort)
  const source: SettingsSource = { argv: process.argv.slice(2), env: process.env }
  if (wantsHelp(source)) {
    process.stdout.write(`${describeSettings(script, { ...common, ...own })}\n`)
    return
  }
  try {
    const settings = { ...loadSettings(common, source), ...loadSettings(own, source) }
    const service = createService({ name, level: settings.LOG_LEVEL, stopping: stopSignal() })
    {
      await using tracing = await openTracing(settings, service)
      await using discovery = openDiscovery(settings, service)
      await compose({ ...service, discovery, tracing }, settings)
    }
    service.log.info('stopped')
  } catch (error) {
    fail(name, error)
  }
}

type CommonShape = ReturnType<typeof commonSettings>

function commonSettings(defaultPort: number) {
  return { PORT: port(defaultPort), HOST: host, LOG_LEVEL: logLevel, ...discoverySettings, ...tracingSettings }
}

/** The parts of a service that need no settings but a name. Embedded mode makes several in one process. */
export function createService({
  name,
  level,
  stopping,
  discovery = createStaticDiscovery(),
  tracing = passingOn,
}: {
  name: string
  level: string
  stopping: AbortSignal
  discovery?: Discovery
  tracing?: Tracing
}): Service {
  const log = createLog({ name, level })
  return { name, log, health: createHealth(stopping), metrics: createMetrics(), discovery, tracing, stopping }
}

/** Resolves when the process was asked to stop. */
export async function stopped({ stopping }: Pick<Service, 'stopping'>): Promise<void> {
  if (!stopping.aborted) await once(stopping, 'abort')
}

function stopSignal(): AbortSignal {
  const controller = new AbortController()
  const stop = () => {
    // A second signal changes nothing: Ctrl-C reaches a process once from the terminal and once from its supervisor.
    if (controller.signal.aborted) return
    controller.abort()
    setTimeout(() => process.exit(1), SHUTDOWN_LIMIT_MS).unref()
  }
  process.on('SIGTERM', stop)
  process.on('SIGINT', stop)
  return controller.signal
}

function fail(name: string, error: unknown): void {
  const expected = error instanceof SettingsError || error instanceof ListenError
  const text = expected ? error.message : error instanceof Error ? error.stack : String(error)
  process.stderr.write(`${name}: ${text}\n`)
  process.exitCode = error instanceof SettingsError ? 2 : 1
}
