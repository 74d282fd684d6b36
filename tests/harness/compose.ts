import { readFileSync } from 'node:fs'
import { Ajv } from 'ajv'
import addFormats from 'ajv-formats'
import { parse } from 'yaml'
import { services } from '../../services.ts'
import { SHUTDOWN_MS } from '../../shared/service/run-service.ts'
import { serviceNames } from './each-service.ts'
import { findUnknownSettings, heapFits } from './image-programs.ts'

export type ComposeService = {
  image: string
  build?: unknown
  command: string[]
  configs?: { source: string; target: string }[]
  depends_on?: Record<string, { condition: string }>
  environment?: Record<string, string>
  healthcheck?: { test?: string[]; disable?: boolean }
  mem_limit?: string
  networks?: string[]
  ports?: { host_ip: string; published: string; target: number }[]
  profiles?: string[]
  restart?: string
  stop_grace_period?: string
  tmpfs?: string[]
  volumes?: string[]
  read_only?: boolean
  cap_drop?: string[]
  security_opt?: string[]
}

export type Compose = {
  services: Record<string, ComposeService>
  configs: Record<string, { file: string }>
}

export const IMAGE = 'video-edge-aggregator:local'

/** The total memory limit of the core containers. Each service beyond the core services adds its own limit. */
const MAX_CORE_MIB = 512
const CORE_SERVICES = 5
const MAX_FURTHER_MIB = 64

/** The Compose Specification schema that dclint bundles. */
const schema = JSON.parse(readFileSync('node_modules/dclint/schemas/compose.schema.json', 'utf8'))
const ajv = new Ajv({ strict: false, validateSchema: false, allErrors: true })
addFormats.default(ajv)
const validate = ajv.compile(schema)

export function parseCompose(text: string): Compose {
  return parse(text, { merge: true })
}

/** Returns one line for each problem in a Compose file. */
export function findProblems(text: string, secrets: readonly string[]): string[] {
  const compose = parseCompose(text)
  if (!validate(compose))
    return (validate.errors ?? []).map(({ instancePath, message, params }) => {
      return `schema: ${instancePath} ${message} ${JSON.stringify(params)}`
    })
  const each = Object.entries(compose.services)
  return [
    ...each.flatMap(([name, service]) => [
      ...findSettingProblems(name, service),
      ...findSecretProblems(name, service, secrets),
      ...findUrlProblems(name, service, compose),
      ...findPortProblems(name, service),
      ...findPrivileges(name, service),
      ...findHeapProblems(name, service),
      ...findLifecycleProblems(name, service, compose),
    ]),
    ...findMemoryProblems(compose),
  ]
}

function findSettingProblems(name: string, { image, command, environment = {} }: ComposeService): string[] {
  if (image !== IMAGE) return []
  return findUnknownSettings(command[0], Object.keys(environment)).map((problem) => `${name}: ${problem}`)
}

/** Each secret must be a file that the container mounts read-only. */
function findSecretProblems(
  name: string,
  { environment = {}, volumes = [] }: ComposeService,
  secrets: readonly string[],
) {
  const files = Object.entries(environment).filter(([variable]) => variable.endsWith('_FILE'))
  const isMounted = (path: string) =>
    volumes.some((volume) => path.startsWith(`${volume.split(':')[1]}/`) && volume.endsWith(':ro'))
  return files
    .filter(([, path]) => !secrets.includes(path) || !isMounted(path))
    .map(([variable, path]) => `${name}: ${variable} is ${path}, which does not exist`)
}

/** URLs must name a container on a common network, and a port on which it listens. */
function findUrlProblems(
  name: string,
  { environment = {}, networks = [] }: ComposeService,
  compose: Compose,
): string[] {
  return Object.entries(environment).flatMap(([variable, value]) => {
    const [, host = '', port] = /^(?:http|nats):\/\/([\w-]+):(\d+)$/.exec(value) ?? []
    if (port === undefined) return []
    const isReachable = compose.services[host]?.networks?.some((network) => networks.includes(network))
    return isReachable && portsOf(host, compose.services[host]).includes(Number(port))
      ? []
      : [`${name}: nothing is reachable at ${variable}=${value}`]
  })
}

/** The ports on which a container listens. */
export function portsOf(name: string, service?: ComposeService): number[] {
  const own = Object.values(services).find((entry) => entry.name === name)?.port
  const { PORT = own, OPS_PORT } = service?.environment ?? {}
  const others: Record<string, number> = { nats: 4222, cdn: 8085, prometheus: 9090, grafana: 3000 }
  return [PORT, OPS_PORT, others[name]].flatMap((port) => (port === undefined ? [] : [Number(port)]))
}

/** Only the public ports of play and the CDN may be published beyond loopback, and only if the user opts in. */
function findPortProblems(name: string, service: ComposeService): string[] {
  return (service.ports ?? []).flatMap(({ host_ip: address, published, target }) => {
    const isPublic = name === 'cdn' || (name === 'play' && target === services.play.port)
    const allowed = isPublic ? /^\$\{\w+:-127\.0\.0\.1\}$/ : /^127\.0\.0\.1$/
    const isOurs = isPublic || name === 'play' || service.profiles !== undefined
    return [
      ...(portsOf(name, service).includes(target) ? [] : [`${name}: does not listen on its published port ${target}`]),
      ...(String(published).endsWith(`:-${target}}`) ? [] : [`${name}: ${target} is published as ${published}`]),
      ...(isOurs && allowed.test(address) ? [] : [`${name}: publishes ${target} on ${address}`]),
    ]
  })
}

function findPrivileges(name: string, { read_only, cap_drop, security_opt }: ComposeService): string[] {
  const isConfined = read_only && cap_drop?.includes('ALL') && security_opt?.includes('no-new-privileges:true')
  return isConfined ? [] : [`${name}: has more privileges than it needs`]
}

function findLifecycleProblems(name: string, service: ComposeService, { services: all }: Compose): string[] {
  const { image, restart, stop_grace_period: grace = '10s', depends_on: dependencies = {} } = service
  const isOnce = (container?: ComposeService) => container?.restart === 'no'
  const early = Object.entries(dependencies).filter(([dependency, { condition }]) => {
    return condition !== (isOnce(all[dependency]) ? 'service_completed_successfully' : 'service_healthy')
  })
  return [
    ...early.map(([dependency]) => `${name}: does not wait until ${dependency} is ready`),
    ...(restart === undefined ? [`${name}: has no restart policy`] : []),
    ...(image === IMAGE && Number.parseInt(grace, 10) * 1_000 <= SHUTDOWN_MS
      ? [`${name}: is killed before it has stopped`]
      : []),
  ]
}

function findHeapProblems(name: string, { mem_limit, environment }: ComposeService): string[] {
  const fits = heapFits(environment?.NODE_OPTIONS, Number.parseInt(mem_limit ?? '', 10))
  return name in services && !fits ? [`${name}: its heap does not fit into ${mem_limit}`] : []
}

function findMemoryProblems({ services }: Compose): string[] {
  const core = Object.values(services).filter(({ profiles, restart }) => !profiles && restart !== 'no')
  const sum = core.reduce((total, { mem_limit }) => total + Number(/^(\d+)m$/.exec(mem_limit ?? '')?.[1]), 0)
  const max = MAX_CORE_MIB + (serviceNames.length - CORE_SERVICES) * MAX_FURTHER_MIB
  return sum <= max ? [] : [`the core may use ${sum} MiB of memory`]
}
