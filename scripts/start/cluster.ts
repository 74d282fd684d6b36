import { services } from '../../services.ts'
import { isAtLeast, REPLICATING_VERSION } from '../../shared/nats/server-version.ts'
import { UsageError } from '../../shared/runtime/command-line.ts'
import { natsServerVersion } from '../nats-server.ts'
import { isNatsGiven, type Plan, portsNeeded, readProcfile, withConfig } from './plan.ts'

/** The number of servers in Procfile.cluster. */
const SERVERS = 3
const FIRST_PORT = 4222

/**
 * Replaces a plan's NATS server with the three servers in Procfile.cluster.
 * @throws UsageError if there is no nats-server that can form a safe cluster, or if NATS_URL is set
 */
export function withCluster(plan: () => Plan, edgePort: number, given: NodeJS.ProcessEnv): Plan {
  if (isNatsGiven(given)) throw new UsageError('--cluster starts its own NATS servers: unset NATS_URL')
  const version = natsServerVersion()
  if (!version || !isAtLeast(version, REPLICATING_VERSION)) {
    const found = version ? `nats-server on the PATH is ${version}` : 'nats-server is not on the PATH'
    throw new UsageError(`--cluster needs nats-server ${REPLICATING_VERSION} or later, but ${found}`)
  }
  const { commands, ports, env, intro, ...rest } = plan()
  const servers = readProcfile('Procfile.cluster', edgePort - services.play.port).map(withConfig)
  return {
    ...rest,
    intro: `${intro}, as a cluster of ${SERVERS} servers`,
    commands: [...servers, ...commands.filter(({ name }) => name !== 'nats')],
    env: { ...env, ...clusterEnvironment(edgePort, given) },
    ports: [...portsNeeded(servers), ...ports.filter(({ name }) => name !== 'nats')],
  }
}

/** Returns the settings that make the services use the servers in Procfile.cluster. */
export function clusterEnvironment(edgePort: number, given: NodeJS.ProcessEnv) {
  const first = FIRST_PORT + edgePort - services.play.port
  const urls = Array.from({ length: SERVERS }, (_, n) => `nats://127.0.0.1:${first + n}`)
  return { NATS_URL: urls.join(','), EVENTS_REPLICAS: given.EVENTS_REPLICAS || String(SERVERS) }
}
