import { z } from 'zod'
import { Readiness } from '../../shared/service/health.ts'
import { version } from '../../shared/runtime/version.ts'
import { SERVICES } from '../start/plan.ts'
import { type Asked, ask, jsonOf, LIMIT_MS } from './ask.ts'
import { fail, type Line, ok, warn } from './line.ts'
import { pinnedNode } from './machine.ts'

export type ServiceName = keyof typeof SERVICES
export const SERVICE_NAMES = Object.keys(SERVICES) as ServiceName[]
export type Instance = { name: ServiceName; origin: string }

/** What an instance says of itself; without `readiness` it is none of ours. */
export type Seen = Instance & {
  asked: Asked
  readiness: Readiness | undefined
  title: string | undefined
  version: string | undefined
  node: string | undefined
}

type Underscored<Name extends string> = Name extends `${infer One}-${infer Other}` ? `${One}_${Other}` : Name

/** The setting that says where a service is. */
export function addressSetting<Name extends ServiceName>(name: Name) {
  return `${name.replace('-', '_').toUpperCase()}_URL` as `${Uppercase<Underscored<Name>>}_URL`
}

const Document = z.object({ info: z.object({ title: z.string(), version: z.string() }) })

export async function lookAtService({ name, origin }: Instance): Promise<Seen> {
  const [ready, document, metrics] = (await Promise.all(
    ['/readyz', '/openapi.json', '/metrics'].map((path) => ask(origin, path)),
  )) as [Asked, Asked, Asked]
  const info = Document.safeParse(jsonOf(document)).data?.info
  return {
    name,
    origin,
    asked: ready,
    readiness: Readiness.safeParse(jsonOf(ready)).data,
    title: info?.title,
    version: info?.version,
    node: metrics.came === 'answer' ? /^nodejs_version_info\{version="v([^"]+)"/m.exec(metrics.text)?.[1] : undefined,
  }
}

/** Whether it runs in the one process of the embedded mode. */
export function isEmbedded({ name, readiness }: Seen): boolean {
  return name === 'play' && readiness !== undefined && 'events' in readiness.dependencies
}

const MEANWHILE: Record<ServiceName, string> = {
  play: 'nobody can play meanwhile',
  metadata: 'plays go on with what was last read meanwhile',
  cdnurl: 'plays go on with what was last read meanwhile',
  reporting: 'plays go on with null counts meanwhile',
  'queue-listener': 'views stay in the log, and counts stand still meanwhile',
}

/** What to do about a dependency that only the service itself finds to be down. */
const REMEDIES: Record<string, string> = {
  ...Object.fromEntries(SERVICE_NAMES.map((name) => [name, `correct its ${addressSetting(name)}`])),
  nats: 'correct its NATS_URL',
  outbox: 'make room on the disk of its DATA_DIR; its log says more',
  consul: 'correct its CONSUL_HTTP_ADDR or CONSUL_HTTP_TOKEN, or start the agent',
}

/** Whether somebody answers who is what it should be. */
export function isOurs({ name, readiness, title }: Seen): boolean {
  return readiness !== undefined && title === name
}

/**
 * A line for each thing that is wrong with an instance, or one that it is well.
 * @param failing what has a line of its own that says FAIL
 */
export function judgeService(seen: Seen, failing: ReadonlySet<string>): Line[] {
  const { name, origin, asked, readiness } = seen
  if (asked.came === 'nothing') {
    const reason = asked.reason === 'ECONNREFUSED' ? '' : ` (${asked.reason})`
    return [fail(name, `${origin} does not answer${reason}: start it (${commandOf(seen)}); ${MEANWHILE[name]}`)]
  }
  if (asked.came === 'silence') {
    const text = `${origin} does not answer within ${LIMIT_MS / 1_000} s`
    return [fail(name, `${text}: it hangs, so end it and start it again; ${MEANWHILE[name]}`)]
  }
  if (!readiness || !isOurs(seen)) return [judgeForeign(seen)]
  const lines = [...judgeReadiness(seen, readiness, failing), ...judgeCircuits(seen, readiness), ...judgeVersions(seen)]
  return lines.length > 0 ? lines : [ok(name, `${origin} is ready`)]
}

function judgeForeign({ name, origin, readiness, title }: Seen): Line {
  const variable = addressSetting(name)
  if (readiness && title) return fail(name, `${origin} is ${title}, not ${name}: correct ${variable}`)
  return fail(
    name,
    `${origin} is another program: end it, or let ${name} listen elsewhere (--port) and set ${variable}`,
  )
}

function judgeReadiness({ name, origin }: Seen, readiness: Readiness, failing: ReadonlySet<string>): Line[] {
  const { status } = readiness
  if (status === 'stopping') return [fail(name, `${origin} is stopping: start it again once it has`)]
  const down = downOf(readiness)
  if (status === 'not ready' && down.length === 0) return [fail(name, `${origin} is not ready: its log says why`)]
  return down.map((dependency) => {
    const text = `${origin} is ${status}, without ${dependency}`
    if (!failing.has(dependency)) return fail(name, `${text}: ${REMEDIES[dependency] ?? 'its log says why'}`)
    return status === 'ready' ? warn(name, `${text}: see there`) : fail(name, `${text}: see there`)
  })
}

function judgeCircuits({ name, origin }: Seen, { circuits = {}, ...readiness }: Readiness): Line[] {
  const down = downOf(readiness)
  const open = Object.keys(circuits).filter((upstream) => circuits[upstream] !== 'closed' && !down.includes(upstream))
  return open.map((upstream) =>
    warn(name, `${origin} does not ask ${upstream}, whose answers failed: the next play tries it; its log says more`),
  )
}

function downOf({ dependencies }: Readiness): string[] {
  return Object.keys(dependencies).filter((dependency) => dependencies[dependency] === 'down')
}

function judgeVersions({ name, origin, node, version: running }: Seen): Line[] {
  const lines: Line[] = []
  if (running !== version)
    lines.push(warn(name, `${origin} is version ${running}, and this checkout is ${version}: restart it from here`))
  if (node && node !== pinnedNode)
    lines.push(warn(name, `${origin} runs on Node ${node}: start it with the Node of this project, ${pinnedNode}`))
  return lines
}

/** What several instances of a service cannot do: two that count, or two maps that share nothing. */
export function judgeInstances(seen: Seen[]): Line[] {
  const alive = (name: ServiceName) => seen.filter((one) => one.name === name && one.readiness)
  const catalogues = (['metadata', 'cdnurl'] as const).filter(
    (name) =>
      alive(name).length > 1 && alive(name).some(({ readiness }) => !('nats' in (readiness?.dependencies ?? {}))),
  )
  return [
    ...catalogues.map((name) => fail(name, `its instances do not share their assets: set NATS_URL for each of them`)),
    ...(alive('reporting').length > 1
      ? [fail('reporting', `of ${alive('reporting').length} instances each counts for itself: keep one of them`)]
      : []),
  ]
}

function commandOf({ name, origin }: Instance): string {
  const { port } = new URL(origin)
  return `node ${name}/main.ts${port === '' || Number(port) === SERVICES[name] ? '' : ` --port ${port}`}`
}
