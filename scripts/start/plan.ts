import { readFileSync } from 'node:fs'
import { canFlushAlways, natsServerVersion } from '../nats-server.ts'
import { type Command, movePort, parseProcfile, portOf } from './procfile.ts'

/** The services and their ports, where the edge has its default one. */
export const SERVICES = { play: 8080, metadata: 8081, reporting: 8082, cdnurl: 8083, 'queue-listener': 8084 }
const NATS_PORT = 4222

/** What is to be started: who needs which port, the commands, and their environment. */
export type Plan = {
  mode: 'processes' | 'embedded'
  intro: string
  commands: Command[]
  env: NodeJS.ProcessEnv
  services: { name: string; port: number }[]
  ports: { name: string; port: number }[]
}

/**
 * The Procfile's processes where there is a NATS server for them, else all services in one process.
 * @param edgePort where play is to listen; every other port moves by as much as this differs from 8080
 */
export function makePlan(edgePort: number, given: NodeJS.ProcessEnv): Plan {
  const offset = edgePort - SERVICES.play
  const services = Object.entries(SERVICES).map(([name, port]) => ({ name, port: port + offset }))
  const set = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== ''))
  const processes = processPlan(offset, set)
  if (processes) {
    const ports = processes.commands.map((command) => ({ name: command.name, port: portOf(command) ?? 0 }))
    return { mode: 'processes', ...processes, services, ports }
  }
  const command = `exec node_modules/.bin/node scripts/embedded.ts --port ${edgePort}`
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

function processPlan(offset: number, set: NodeJS.ProcessEnv): Pick<Plan, 'intro' | 'commands' | 'env'> | undefined {
  const commands = parseProcfile(readFileSync('Procfile', 'utf8')).map((command) => movePort(command, offset))
  const env = {
    METADATA_URL: `http://127.0.0.1:${SERVICES.metadata + offset}`,
    REPORTING_URL: `http://127.0.0.1:${SERVICES.reporting + offset}`,
    CDNURL_URL: `http://127.0.0.1:${SERVICES.cdnurl + offset}`,
    NATS_URL: `nats://127.0.0.1:${NATS_PORT + offset}`,
    ...set,
  }
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
