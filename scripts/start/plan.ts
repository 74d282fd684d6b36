import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { canFlushAlways, natsServerVersion } from '../nats-server.ts'
import { type Command, movePorts, parseProcfile, portsOf } from './procfile.ts'

/** The services and their ports, where the edge has its default one. */
export const SERVICES = { play: 8080, metadata: 8081, reporting: 8082, cdnurl: 8083, 'queue-listener': 8084 }
const NATS_PORT = 4222
const CONSUL_PORT = 8500

/** What is to be started: who needs which port, the commands, and their environment. */
export type Plan = {
  mode: 'processes' | 'embedded'
  /** The port of the Consul agent, where one is started. */
  consul?: number
  intro: string
  commands: Command[]
  env: NodeJS.ProcessEnv
  services: { name: string; port: number }[]
  ports: { name: string; port: number }[]
}

/** What is asked for cannot be started here. The message says what is missing, and how to get it. */
export class PlanError extends Error {
  override name = 'PlanError'
}

/**
 * The Procfile's processes where there is a NATS server for them, else all services in one process.
 * @param edgePort where play is to listen; every other port moves by as much as this differs from 8080
 * @param withConsul whether those of Procfile.consul are started too, and find each other by Consul
 * @throws PlanError
 */
export function makePlan(edgePort: number, given: NodeJS.ProcessEnv, withConsul = false): Plan {
  const offset = edgePort - SERVICES.play
  const services = Object.entries(SERVICES).map(([name, port]) => ({ name, port: port + offset }))
  const set = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== ''))
  const processes = processPlan(offset, set)
  if (processes) {
    const plan: Plan = { mode: 'processes', ...processes, services, ports: portsNeeded(processes.commands) }
    return withConsul ? addConsul(plan, offset) : plan
  }
  if (withConsul)
    throw new PlanError('there is no nats-server on the PATH; two instances of metadata need one to share')
  const command = `exec node_modules/.bin/node embedded/main.ts --port ${edgePort}`
  const commands = [{ name: 'embedded', command }]
  return {
    mode: 'embedded',
    intro: 'embedded, one process without NATS',
    commands,
    env: set,
    services,
    ports: services,
  }
}

/** Where what `npm start` starts finds each other, unless the environment says otherwise. */
export function defaultAddresses(offset: number) {
  return {
    METADATA_URL: `http://127.0.0.1:${SERVICES.metadata + offset}`,
    REPORTING_URL: `http://127.0.0.1:${SERVICES.reporting + offset}`,
    CDNURL_URL: `http://127.0.0.1:${SERVICES.cdnurl + offset}`,
    QUEUE_LISTENER_URL: `http://127.0.0.1:${SERVICES['queue-listener'] + offset}`,
    NATS_URL: `nats://127.0.0.1:${NATS_PORT + offset}`,
  }
}

function addConsul(plan: Plan, offset: number): Plan {
  if (spawnSync('consul', ['version']).error) {
    throw new PlanError(
      'there is no consul on the PATH: install it from https://developer.hashicorp.com/consul/install',
    )
  }
  const added = readProcfile('Procfile.consul', offset)
  const consul = CONSUL_PORT + offset
  return {
    ...plan,
    consul,
    intro: `${plan.intro}, Consul and a second metadata`,
    commands: [...added, ...plan.commands],
    env: { ...plan.env, CONSUL_HTTP_ADDR: `127.0.0.1:${consul}` },
    ports: [...plan.ports, ...portsNeeded(added)],
  }
}

function readProcfile(file: string, offset: number): Command[] {
  return parseProcfile(readFileSync(file, 'utf8')).map((command) => movePorts(command, offset))
}

function portsNeeded(commands: Command[]): Plan['ports'] {
  return commands.flatMap((command) => portsOf(command).map((port) => ({ name: command.name, port })))
}

function processPlan(offset: number, set: NodeJS.ProcessEnv): Pick<Plan, 'intro' | 'commands' | 'env'> | undefined {
  const commands = readProcfile('Procfile', offset)
  const env = { ...defaultAddresses(offset), ...set }
  if (set.NATS_URL) {
    const intro = `five processes, with the NATS server at ${set.NATS_URL}`
    return { intro, commands: commands.filter(({ name }) => name !== 'nats'), env }
  }
  const version = natsServerVersion()
  if (!version) return undefined
  if (!canFlushAlways(version)) return { intro: `five processes, with nats-server ${version}`, commands, env }
  return {
    intro: `five processes, with nats-server ${version} that flushes every append to disk`,
    commands: commands.map(({ name, command }) =>
      name === 'nats' ? { name, command: `${command} --config deploy/nats.conf` } : { name, command },
    ),
    env,
  }
}
