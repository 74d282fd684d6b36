import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { rmSync } from 'node:fs'
import { createServer } from 'node:http'
import { join, resolve } from 'node:path'
import { getRequestListener } from '@hono/node-server'
import { viewRules } from '../../../reporting/rules/settings.ts'
import { services } from '../../../services.ts'
import { createBearerCheck } from '../../../shared/http/write-token.ts'
import { toNatsAccess } from '../../../shared/nats/credentials.ts'
import { openNatsLink } from '../../../shared/nats/link.ts'
import { natsSettings } from '../../../shared/nats/settings.ts'
import { createLog } from '../../../shared/runtime/log.ts'
import { isLoopback } from '../../../shared/runtime/loopback.ts'
import { toOrigin } from '../../../shared/runtime/origin.ts'
import { type Secret, toSecret } from '../../../shared/runtime/secret.ts'
import { dataDir, host, loadSettings } from '../../../shared/runtime/settings.ts'
import { signingKeys, toSigningKeys } from '../../../shared/runtime/signing-keys.ts'
import { toReachable } from '../environment.ts'
import type { Plan } from '../plan.ts'
import type { Supervised } from '../supervised.ts'
import { type ControlDeps, createControlsApp } from './app.ts'
import { createCheckpointControl } from './checkpoint.ts'
import { createCommand } from './commands.ts'
import { createExpirer } from './expired-url.ts'
import { createNaiveCounter } from './naive-counter.ts'
import { throwPoison } from './poison.ts'
import { sendPrefetches } from './prefetches.ts'
import { createSocketDirectory, removeLeftovers } from './socket-directory.ts'
import { tokenFileOf, writeToken } from './token-file.ts'
import { createTourLease } from './tour-lease.ts'

const EMBEDDED =
  'In embedded mode, all services share one process, so there is nothing to kill. Install nats-server, and start again.'

/** The controls listen on a socket in a directory that only this user may enter, so browsers cannot reach them. */
export type Controls = AsyncDisposable & {
  token: Secret
  /** Settings for play. */
  env: { CONTROLS_URL: string }
  /** Starts serving requests that act on these processes. */
  serve(processes: readonly Supervised[]): Promise<void>
}

type Options = { plan: Plan; edgePort: number; onLine: (name: string, line: string) => void }

/** @returns undefined if other machines can reach the console, because the controls are then disabled */
export function openControls({ plan, edgePort, onLine }: Options): Controls | undefined {
  const settings = loadSettings({ HOST: host, OPS_HOST: host, DATA_DIR: dataDir }, { args: [], env: plan.env })
  if (!isLoopback(plan.opsPort === undefined ? settings.HOST : settings.OPS_HOST)) return undefined
  const token = toSecret(randomBytes(32).toString('base64url'))
  const tokenFile = resolve(tokenFileOf(settings.DATA_DIR, edgePort))
  removeLeftovers()
  const directory = createSocketDirectory(token, tokenFile)
  const path = join(directory, 'controls')
  const resources = new AsyncDisposableStack()
  resources.defer(() => rmSync(directory, { recursive: true, force: true }))
  if (writeToken(tokenFile, settings.DATA_DIR, token)) resources.defer(() => rmSync(tokenFile, { force: true }))
  return {
    token,
    env: { CONTROLS_URL: `unix:${path}` },
    async serve(processes) {
      const deps = createDeps({ plan, edgePort, onLine, processes, resources, directory: settings.DATA_DIR })
      const app = createControlsApp({ ...deps, isAllowed: createBearerCheck([token]) })
      const server = createServer(getRequestListener(app.fetch)).listen(path)
      await once(server, 'listening')
      resources.defer(() => {
        server.close()
        server.closeAllConnections()
      })
    },
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  }
}

type Parts = Options & {
  processes: readonly Supervised[]
  resources: AsyncDisposableStack
  directory: string
}

function createDeps(parts: Parts): Omit<ControlDeps, 'isAllowed'> {
  const { plan, edgePort, processes, resources, directory, onLine } = parts
  const { env, mode, cdn } = plan
  const createScriptCommand = (name: string, script: string) =>
    resources.use(createCommand({ name: `npm run ${name}`, script, env, onLine: (line) => onLine(name, line) }))
  const nats = mode === 'processes' ? openNats(parts) : undefined
  return {
    offReason: mode === 'embedded' ? EMBEDDED : undefined,
    processes,
    // SIGSTOP would not reach nginx's worker processes.
    unhangable: new Set(cdn?.server === 'nginx' ? ['cdn'] : []),
    isEdge: (name) => name.replace(/-\d+$/, '') === services.play.name,
    seed: createScriptCommand('seed', 'scripts/seed.sh'),
    simulate: createScriptCommand('simulate', 'scripts/simulate.sh'),
    commandArgs: edgePort === services.play.port ? [] : ['--port', String(edgePort)],
    prefetch: (flood) => sendPrefetches(toOrigin(toReachable(env.HOST), edgePort), flood),
    tour: createTourLease(),
    expire: createOwnExpirer(env),
    poison: nats && (() => throwPoison(nats)),
    naive: nats && createNaiveCounter(nats),
    checkpoint: canReplay(parts) ? createCheckpointControl(directory, rulesOf(env)) : undefined,
  }
}

function openNats({ plan, resources }: Parts) {
  const settings = loadSettings(natsSettings, { args: [], env: plan.env })
  const log = createLog({ name: 'controls', level: 'silent' })
  return resources.use(openNatsLink({ ...toNatsAccess(settings), name: 'controls', log }))
}

function createOwnExpirer(env: NodeJS.ProcessEnv): ControlDeps['expire'] {
  const { CDN_KEYS } = loadSettings({ CDN_KEYS: signingKeys }, { args: [], env })
  const { CDN_BASE_URL: base, CDN_SIGNER: signer = 'hmac' } = env
  if (!CDN_KEYS || !base || signer !== 'hmac') return undefined
  return createExpirer(base.replace(/\/$/, ''), toSigningKeys(CDN_KEYS)[0])
}

/** A replay requires counts in memory, which derive from the log alone, and a log whose messages never expire. */
function canReplay({ plan: { env, mode }, processes }: Parts): boolean {
  const { DATABASE_URL, DATABASE_URL_FILE, EVENTS_MAX_AGE } = env
  const hasReporting = processes.some(({ name }) => name === services.reporting.name)
  return mode === 'processes' && hasReporting && !DATABASE_URL && !DATABASE_URL_FILE && !EVENTS_MAX_AGE
}

function rulesOf(env: NodeJS.ProcessEnv) {
  return loadSettings({ VIEW_RULES: viewRules }, { args: [], env }).VIEW_RULES
}
