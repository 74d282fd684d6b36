import { spawnSync } from 'node:child_process'
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { startChild } from './child.ts'
import { failIfCiNeeds } from './ci-needs.ts'
import { freePort } from './ports.ts'
import { withResources } from './resources.ts'
import { createTempDirectory } from './temp-directory.ts'

/** True if Consul is installed. */
export const hasConsul = failIfCiNeeds('consul', spawnSync('consul', ['version']).status === 0)

export type ConsulAgent = AsyncDisposable & {
  /** The value for CONSUL_HTTP_ADDR. */
  address: string
  /** The Unix socket that the agent also listens on. */
  socket: string
  signal(signal: NodeJS.Signals): Promise<void>
  /** Restarts the agent without its data. */
  start(): Promise<void>
  /** Calls the agent's HTTP API (https://developer.hashicorp.com/consul/api-docs). */
  call(path: string, options?: { method?: string; body?: unknown; token?: string }): Promise<unknown>
}

type Options = {
  /** A token with all permissions. If undefined, the agent requires no tokens. */
  managementToken?: string
}

/** Starts a real Consul agent in development mode, on free ports. */
export async function startConsulAgent(options: Options = {}, attempts = 3): Promise<ConsulAgent> {
  try {
    return await startOnce(options)
  } catch (error) {
    // Another process on this machine may take a port after `freePort` returned it.
    if (attempts === 1 || !/already (in use|configured)/.test(String(error))) throw error
    return startConsulAgent(options, attempts - 1)
  }
}

async function startOnce({ managementToken }: Options): Promise<ConsulAgent> {
  await using stack = new AsyncDisposableStack()
  const directory = stack.use(await createTempDirectory('consul'))
  const [http, serf, server] = [await freePort(), await freePort(), await freePort()]
  const socket = join(directory.path, 'http.sock')
  const config = {
    addresses: { http: `127.0.0.1 unix://${socket}` },
    ports: { http, serf_lan: serf, serf_wan: -1, server, dns: -1, grpc: -1 },
    ...(managementToken && {
      acl: { enabled: true, default_policy: 'deny', tokens: { master: managementToken, agent: managementToken } },
    }),
  }
  const configFile = join(directory.path, 'agent.json')
  await writeFile(configFile, JSON.stringify(config))
  const address = `127.0.0.1:${http}`

  const call: ConsulAgent['call'] = async (path, { method = 'GET', body, token = managementToken } = {}) => {
    const response = await fetch(`http://${address}/v1${path}`, {
      method,
      ...(token && { headers: { 'x-consul-token': token } }),
      ...(body !== undefined && { body: JSON.stringify(body) }),
    })
    const text = await response.text()
    if (!response.ok) throw new Error(`Consul returned ${response.status} to ${path}: ${text}`)
    return text === '' ? undefined : JSON.parse(text)
  }

  const startProcess = () => startChild('consul', ['agent', '-dev', '-config-file', configFile])
  let child = startProcess()
  stack.defer(() => child[Symbol.asyncDispose]())

  const elected = () =>
    child.ready(async () => {
      if ((await call('/status/leader')) === '') throw new Error('Consul has no leader yet')
    })

  async function start(): Promise<void> {
    if (child.isRunning()) return child.signal('SIGCONT')
    await rm(socket, { force: true })
    child = startProcess()
    await elected()
  }

  await elected()
  return withResources({ address, socket, start, call, signal: (name: NodeJS.Signals) => child.signal(name) }, stack)
}
