import { spawnSync } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Child, startChild } from './child.ts'
import { unlessCiNeeds } from './ci-needs.ts'
import { eventually } from './eventually.ts'
import { freePort } from './ports.ts'

/** Whether there is a Consul to test against. */
export const hasConsul = unlessCiNeeds('consul', spawnSync('consul', ['version']).status === 0)

export type ConsulAgent = AsyncDisposable & {
  /** What CONSUL_HTTP_ADDR takes. */
  address: string
  /** The same agent by its Unix socket. */
  socket: string
  signal(signal: NodeJS.Signals): Promise<void>
  /** Starts it again. It remembers nothing. */
  start(): Promise<void>
  /** Calls its HTTP interface (https://developer.hashicorp.com/consul/api-docs). */
  call(path: string, options?: { method?: string; body?: unknown; token?: string }): Promise<unknown>
}

type Options = {
  /** A token that may do anything; without it everybody may. */
  managementToken?: string
}

/** A real Consul agent in development mode, on free ports. */
export async function startConsulAgent({ managementToken }: Options = {}): Promise<ConsulAgent> {
  const folder = await mkdtemp(join(tmpdir(), 'consul-'))
  const [http, serf, server] = [await freePort(), await freePort(), await freePort()]
  const socket = join(folder, 'http.sock')
  const config = {
    addresses: { http: `127.0.0.1 unix://${socket}` },
    ports: { http, serf_lan: serf, serf_wan: -1, server, dns: -1, grpc: -1 },
    ...(managementToken && {
      acl: { enabled: true, default_policy: 'deny', tokens: { master: managementToken, agent: managementToken } },
    }),
  }
  await writeFile(join(folder, 'agent.json'), JSON.stringify(config))
  const address = `127.0.0.1:${http}`
  let child: Child | undefined

  const call: ConsulAgent['call'] = async (path, { method = 'GET', body, token = managementToken } = {}) => {
    const headers = token ? { 'x-consul-token': token } : undefined
    const response = await fetch(`http://${address}/v1${path}`, {
      method,
      ...(headers && { headers }),
      ...(body !== undefined && { body: JSON.stringify(body) }),
    })
    const text = await response.text()
    if (!response.ok) throw new Error(`Consul answered ${response.status} to ${path}: ${text}`)
    return text === '' ? undefined : JSON.parse(text)
  }

  async function start(): Promise<void> {
    if (child?.isRunning()) return child.signal('SIGCONT')
    await rm(socket, { force: true })
    child = startChild('consul', ['agent', '-dev', '-config-file', join(folder, 'agent.json')])
    await eventually(async () => {
      if ((await call('/status/leader')) === '') throw new Error('Consul has no leader yet')
    }, 20_000)
  }

  await start()
  return {
    address,
    socket,
    start,
    call,
    async signal(name) {
      await child?.signal(name)
    },
    async [Symbol.asyncDispose]() {
      await child?.[Symbol.asyncDispose]()
      await rm(folder, { recursive: true, force: true })
    },
  }
}
