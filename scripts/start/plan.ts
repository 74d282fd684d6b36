import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { serviceEntries, services } from '../../services.ts'
import { natsUrl } from '../../shared/nats/settings.ts'
import { UsageError } from '../../shared/runtime/command-line.ts'
import { loadSettings } from '../../shared/runtime/settings.ts'
import { canFlushAlways, natsServerVersion } from '../nats-server.ts'
import { environmentAt, withoutEmpty } from './environment.ts'
import { type Command, movePorts, parseProcfile, portsOf, sharePort } from './procfile.ts'

const CONSUL_PORT = 8500

type PortUse = { name: string; port: number }

/** The commands to start, their environment, and the ports that they need. */
export type Plan = {
  mode: 'processes' | 'embedded'
  /** The Consul agent's port, if the agent is started. */
  consul?: number
  intro: string
  commands: Command[]
  env: NodeJS.ProcessEnv
  services: PortUse[]
  ports: PortUse[]
  /** play's first operations port. */
  opsPort?: number | undefined
  /** The edge that serves the clips, if it is started. */
  cdn?: { port: number; server: 'nginx' | 'Node' }
}

type Options = {
  /** Also start the processes in Procfile.consul, and let the services discover each other through Consul. */
  consul?: boolean
  /** The number of play processes, which share a port if there are several. */
  plays?: number
}

/** The plan cannot run on this machine. The message names the missing program and how to install it. */
export class PlanError extends Error {
  override name = 'PlanError'
}

/**
 * Plans the processes in the Procfile if a NATS server is available, and otherwise all services in one process.
 * @param edgePort play's port; all other ports are relative to it
 * @throws PlanError, or UsageError for an invalid NATS_URL or OPS_PORT
 */
export function makePlan(
  edgePort: number,
  given: NodeJS.ProcessEnv,
  { consul: withConsul = false, plays = 1 }: Options = {},
): Plan {
  const offset = edgePort - services.play.port
  const moved = serviceEntries.map(({ name, port }) => ({ name, port: port + offset }))
  const processes = planProcesses(offset, given)
  if (given.OPS_PORT === '0') throw new UsageError('OPS_PORT is "0": npm start requires a fixed port')
  const opsPort = Number(given.OPS_PORT) || undefined
  const opsPorts = opsPort ? Array.from({ length: plays }, (_, index) => opsPort + index) : []
  const operations = opsPorts.map((port) => ({ name: `${services.play.name} (OPS_PORT)`, port }))
  if (processes) {
    // With its own URL in PLAY_URL, play would query itself over HTTP.
    const env = { ...environmentAt(edgePort, given), PLAY_URL: given.PLAY_URL }
    const plan = {
      mode: 'processes' as const,
      ...processes,
      commands: sharePort(processes.commands, services.play.name, plays, opsPort),
      env,
      services: moved,
      ports: [...portsNeeded(processes.commands), ...operations],
      opsPort,
    }
    return withConsul ? addConsul(plan, offset) : plan
  }
  if (withConsul)
    throw new PlanError('nats-server is not on the PATH; the two metadata instances need it to share their data')
  if (plays > 1)
    throw new PlanError(
      'nats-server is not on the PATH; without it, all services share one process, so --plays does not apply',
    )
  return {
    mode: 'embedded',
    intro: 'all services in one process, without NATS',
    commands: [{ name: 'embedded', command: `exec node_modules/.bin/node embedded/main.ts --port ${edgePort}` }],
    env: withoutEmpty(given),
    services: moved,
    ports: [...moved, ...operations],
    opsPort,
  }
}

/** Returns true if `npm start` falls back to embedded mode because there is no NATS server. */
export function needsEmbedded(given: NodeJS.ProcessEnv): boolean {
  return !isNatsGiven(given) && natsServerVersion() === undefined
}

export function isNatsGiven({ NATS_URL, NATS_URL_FILE }: NodeJS.ProcessEnv): boolean {
  return Boolean(NATS_URL || NATS_URL_FILE)
}

function planProcesses(offset: number, given: NodeJS.ProcessEnv): Pick<Plan, 'intro' | 'commands'> | undefined {
  const commands = readProcfile('Procfile', offset)
  const intro = 'one process per service, with'
  if (isNatsGiven(given)) {
    const { NATS_URL: servers } = loadSettings({ NATS_URL: natsUrl }, { args: [], env: given })
    const own = commands.filter(({ name }) => name !== 'nats')
    return { intro: `${intro} the NATS server at ${servers.join()}`, commands: own }
  }
  const version = natsServerVersion()
  if (!version) return undefined
  if (!canFlushAlways(version)) return { intro: `${intro} nats-server ${version}`, commands }
  return {
    intro: `${intro} nats-server ${version}, which flushes every append to disk`,
    commands: commands.map((command) => (command.name === 'nats' ? withConfig(command) : command)),
  }
}

/** Makes a nats-server use deploy/nats.conf, which requires version 2.10 or later. */
export function withConfig({ name, command }: Command): Command {
  return { name, command: `${command} --config deploy/nats.conf` }
}

function addConsul(plan: Plan, offset: number): Plan {
  if (spawnSync('consul', ['version']).error) {
    throw new PlanError('consul is not on the PATH: install it from https://developer.hashicorp.com/consul/install')
  }
  const consulCommands = readProcfile('Procfile.consul', offset)
  const consul = CONSUL_PORT + offset
  return {
    ...plan,
    consul,
    intro: `${plan.intro}, Consul and a second metadata instance`,
    commands: [...consulCommands, ...plan.commands],
    env: { ...plan.env, CONSUL_HTTP_ADDR: `127.0.0.1:${consul}` },
    ports: [...plan.ports, ...portsNeeded(consulCommands)],
  }
}

export function readProcfile(file: string, offset: number): Command[] {
  return parseProcfile(readFileSync(file, 'utf8')).map((command) => movePorts(command, offset))
}

export function portsNeeded(commands: Command[]): PortUse[] {
  return commands.flatMap((command) => portsOf(command).map((port) => ({ name: command.name, port })))
}
