import { startEmbedded } from '../../tests/harness/embedded.ts'
import { eventually } from '../../tests/harness/eventually.ts'
import type { NatsOptions } from '../../tests/harness/nats-server.ts'
import { startOtlpReceiver } from '../../tests/harness/otlp-receiver.ts'
import { hasPostgres, startPostgres } from '../../tests/harness/postgres.ts'
import { withResources } from '../../tests/harness/resources.ts'
import { startService } from '../../tests/harness/service-process.ts'
import { type System, startSystem } from '../../tests/harness/system.ts'
import { startScraping } from './observed.ts'
import { seed } from './seed.ts'
import { type CountedTarget, type Target, toCountedTarget } from './target.ts'
import { writeTokens } from './tokens.ts'

/** A rate limit that the benchmark never reaches. */
const RATE = '100000/1s'

type Stack = AsyncDisposableStack

/** What a system needs for a capability. */
type Part = {
  /** True if the settings affect only play. The row then needs another play process, but no other system. */
  onlyPlay?: boolean
  settings?: Record<string, string>
  tokens?: string
  /** The processes of an additional server that the capability needs, such as Postgres. */
  pids?: Target['pids']
  /** Called with the system once it runs. */
  attach?: (system: System, stack: Stack) => void
}

/** The capabilities that can be turned on, by their name in `--capabilities`. */
const PARTS = {
  async identity(stack: Stack): Promise<Part> {
    // Import this only when needed, because oidc-provider prints warnings when it is loaded.
    const { startIdentityProvider } = await import('../../tests/harness/identity-provider.ts')
    const provider = stack.use(await startIdentityProvider())
    const tokens = stack.use(await writeTokens(provider)).path
    return { onlyPlay: true, settings: provider.settings, tokens }
  },
  async limits(): Promise<Part> {
    return { onlyPlay: true, settings: { CLIENT_RATE: RATE, PLAY_RATE: RATE } }
  },
  async rules(): Promise<Part> {
    return { settings: { VIEW_RULES: 'v2' } }
  },
  async signing(): Promise<Part> {
    const settings = { CDN_BASE_URL: 'https://cdn.example', CDN_KEYS: 'k1:secret-of-the-benchmark' }
    return { onlyPlay: true, settings }
  },
  async postgres(stack: Stack): Promise<Part> {
    const server = stack.use(await startPostgres())
    const settings = { DATABASE_URL: await server.createDatabase() }
    return { settings, pids: () => ({ postgres: server.pids() }) }
  },
  async tracing(stack: Stack): Promise<Part> {
    const receiver = stack.use(await startOtlpReceiver())
    const settings = { OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url }
    return { settings, attach: (system, stack) => stack.use(startScraping(system)) }
  },
}
type PartName = keyof typeof PARTS
const partNames = Object.keys(PARTS) as PartName[]

/** The rows for `--capabilities`, by name. */
const ROWS = {
  identity: 'identity, tokens cached',
  limits: 'limits per client and user',
  guarded: 'identity and limits',
  rules: 'view rules v2',
  signing: 'URLs signed',
  postgres: 'counts in Postgres',
  tracing: 'traced, scraped',
  everything: 'everything together',
  embedded: 'embedded, without NATS',
}
export const capabilityNames = Object.keys(ROWS) as (keyof typeof ROWS)[]
export type CapabilityName = (typeof capabilityNames)[number]

/**
 * Starts a system with one of the capabilities. If its settings affect only play, starts another play
 * process that shares the other services of `system`.
 */
export async function startCapability(
  name: CapabilityName,
  system: System,
  natsOptions: NatsOptions,
): Promise<CountedTarget & AsyncDisposable> {
  if (name === 'embedded') return startOneProcess()
  return startWith(partsOf(name), { row: ROWS[name], system, natsOptions })
}

function partsOf(name: Exclude<CapabilityName, 'embedded'>): PartName[] {
  if (name === 'everything') return partNames.filter((part) => !whyUnavailable(part))
  return name === 'guarded' ? ['identity', 'limits'] : [name]
}

/** Why a capability cannot be measured on this machine; undefined if it can. */
export function whyUnavailable(name: CapabilityName): string | undefined {
  return name === 'postgres' && !hasPostgres ? `${ROWS[name]}: skipped, because Postgres is not installed` : undefined
}

type WithParts = { row: string; system: System; natsOptions: NatsOptions }

async function startWith(names: PartName[], { row, system: shared, natsOptions }: WithParts) {
  await using stack = new AsyncDisposableStack()
  const parts = await Promise.all(names.map((name) => PARTS[name](stack)))
  const settings: Record<string, string> = Object.assign({}, ...parts.map((part) => part.settings))
  const targetSystem = parts.every(({ onlyPlay }) => onlyPlay)
    ? { ...shared, play: stack.use(await startService('play', { ...shared.env, ...settings })) }
    : stack.use(await startSystem(settings, natsOptions))
  for (const { attach } of parts) attach?.(targetSystem, stack)
  if (targetSystem.nats !== shared.nats) await seed(targetSystem)
  await expectReady(targetSystem.play.url)
  const target = toCountedTarget(row, targetSystem)
  const pids = () => Object.assign(target.pids(), ...parts.map((part) => part.pids?.()))
  return withResources({ ...target, pids, tokens: parts.find((part) => part.tokens)?.tokens }, stack)
}

/** Runs all services in one process. The table shows its CPU time in play's column. */
async function startOneProcess() {
  const { process, play, reporting, ...rest } = await startEmbedded()
  await seed(rest)
  const pids = () => ({ play: [process.pid()] })
  return { ...rest, name: ROWS.embedded, url: play.url, pids, processes: 1, reporting: reporting.url }
}

async function expectReady(play: string): Promise<void> {
  await eventually(async () => {
    if (!(await fetch(`${play}/readyz`)).ok) throw new Error('play is not ready')
  })
}
