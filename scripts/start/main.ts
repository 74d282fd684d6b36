import { join } from 'node:path'
import { prettyFactory } from 'pino-pretty'
import { services } from '../../services.ts'
import { USAGE_STATUS, UsageError } from '../../shared/runtime/command-line.ts'
import { acquireFileLock } from '../../shared/runtime/file-lock.ts'
import { PRETTY } from '../../shared/runtime/log.ts'
import { toOrigin } from '../../shared/runtime/origin.ts'
import { dataDir, loadSettings } from '../../shared/runtime/settings.ts'
import { edgePortOption, runCommand, toEdgePort } from '../command.ts'
import { preferNginx, withCdn } from './cdn.ts'
import { withCluster } from './cluster.ts'
import { openControls } from './controls/controls.ts'
import { toReachable } from './environment.ts'
import { isFree } from './free-port.ts'
import { greeting } from './greeting.ts'
import { makePlan, type Plan, PlanError } from './plan.ts'
import { waitUntilReady } from './progress.ts'
import { supervise } from './supervisor.ts'

const READY_TIMEOUT_MS = 30_000
const SECOND_SIGNAL_AFTER_MS = 500

const COMMAND_NAME = 'npm start'

const MAX_PLAYS = 64

const usage = `Usage: npm start [-- --port N] [-- --consul] [-- --cluster] [-- --plays N]

Starts everything: the processes in the Procfile if NATS_URL is set or nats-server is installed; otherwise one process,
with the event log in a file. Settings: see .env.example.

  --port N   the edge's port (default: ${services.play.port}); all other ports, including that of NATS, shift by the same amount
  --consul   also start a Consul agent in development mode for service discovery, and a second metadata instance (npm
             run start:consul)
  --cluster  run three NATS servers as a cluster, with EVENTS_REPLICAS=3; needs nats-server 2.10 or later
  --plays N  number of play processes, 1 to ${MAX_PLAYS}, which share the edge's port (default: 1); needs NATS and Linux`

const flag = { type: 'boolean', default: false } as const
const options = { ...edgePortOption, consul: flag, cluster: flag, plays: { type: 'string', default: '1' } } as const

await runCommand({ name: COMMAND_NAME, usage, options, dotEnv: true }, async ({ port, consul, cluster, plays }) => {
  try {
    const edgePort = toEdgePort(port)
    const makeOwnPlan = () => makePlan(edgePort, process.env, { consul, plays: toPlays(plays) })
    const withoutCdn = cluster ? withCluster(makeOwnPlan, edgePort, process.env) : makeOwnPlan()
    const plan = withCdn(withoutCdn, edgePort, process.env)
    await assertFree(plan.ports)
    using _ = lockData(plan)
    say(`starting ${plan.intro}`)
    return await run(preferNginx(plan), edgePort)
  } catch (error) {
    if (!(error instanceof PlanError)) throw error
    say(error.message)
    return 1
  }
})

/** @throws UsageError */
function toPlays(text: string): number {
  if (/^[1-9]\d?$/.test(text) && Number(text) <= MAX_PLAYS) return Number(text)
  throw new UsageError(`--plays is "${text}": it must be a whole number, 1 to ${MAX_PLAYS}`)
}

/** @throws PlanError */
async function assertFree(ports: Plan['ports']): Promise<void> {
  for (const [port, users] of Map.groupBy(ports, (each) => each.port)) {
    const names = users.map(({ name }) => name).join(' and ')
    if (users.length > 1) throw new PlanError(`${names} cannot both use port ${port}`)
    if (await isFree(port)) continue
    throw new PlanError(
      `port ${port}, which ${names} needs, is already in use; for a second system, use npm start -- --port N with another DATA_DIR`,
    )
  }
}

/**
 * Prevents a second `npm start` from using the same log. nats-server does not lock its files, so two servers would
 * overwrite each other's messages.
 * @throws PlanError
 */
function lockData({ commands, env }: Plan): Disposable | undefined {
  if (!commands.some(({ name }) => name === 'embedded' || name.startsWith('nats'))) return undefined
  const { DATA_DIR } = loadSettings({ DATA_DIR: dataDir }, { args: [], env })
  let lock: Disposable | undefined
  try {
    lock = acquireFileLock(join(DATA_DIR, 'npm-start.lock'))
  } catch {
    // DATA_DIR is not writable. The processes report the details.
    return undefined
  }
  if (!lock) throw new PlanError(`another npm start uses DATA_DIR ${DATA_DIR}: set DATA_DIR to another directory`)
  return lock
}

/** @returns the exit status */
async function run(plan: Plan, edgePort: number): Promise<number> {
  const ending = Promise.withResolvers<number>()
  const ended = new AbortController()
  const onLine = createPrinter()
  await using controls = openControls({ plan, edgePort, onLine })
  await using processes = supervise({
    commands: plan.commands,
    env: { ...plan.env, ...controls?.env },
    onLine,
    say,
    onInvalidSettings(name) {
      say(`${name} cannot start with these settings`)
      ending.resolve(USAGE_STATUS)
    },
  })
  let firstSignal: number | undefined
  const onSignal = () => {
    firstSignal ??= performance.now()
    // A single Ctrl-C arrives twice, from the terminal and from npm. A later signal means that the user does not
    // want to wait.
    if (performance.now() - firstSignal > SECOND_SIGNAL_AFTER_MS) processes.kill()
    ending.resolve(0)
  }
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, onSignal)
  // An error means that the terminal or the reading end of the pipe was closed.
  for (const output of [process.stdout, process.stderr]) output.on('error', () => ending.resolve(0))
  await controls?.serve(processes.processes)
  void greetWhenReady({ ...plan, token: controls?.token.reveal() }, ended.signal)
  const status = await ending.promise
  ended.abort()
  if (status === 0) say('stopping')
  return status
}

async function greetWhenReady(plan: Plan & { token: string | undefined }, ended: AbortSignal): Promise<void> {
  const host = toReachable(plan.env.HOST)
  const origins = plan.services.map(({ port }) => toOrigin(host, port))
  const progress = await waitUntilReady(origins, { timeoutMs: READY_TIMEOUT_MS, ended })
  if (ended.aborted) return
  if (progress === 'starting') return say(`not ready after ${READY_TIMEOUT_MS / 1_000} s; see the lines above`)
  if (progress === 'replaying') say('reporting is still replaying the log; until it has caught up, counts are null')
  process.stdout.write(greeting(plan))
}

/**
 * Pretty-prints JSON lines on a terminal, and passes them through otherwise. Prefixes other lines with the process
 * name. If a service has several processes, replaces the service name in its JSON lines with the process name.
 */
function createPrinter(): (name: string, line: string) => void {
  const pretty = prettyFactory({ ...PRETTY, colorize: process.stdout.isTTY })
  return (name, line) => {
    // NATS and Consul log verbosely at startup.
    if (name.startsWith('nats') && line.includes('[INF]')) return
    // nginx warns that only root can change users.
    if (name === 'cdn' && line.includes('[warn] the "user" directive')) return
    if (name === 'consul' && !/\[(WARN|ERROR)\]/.test(line)) return
    const named = line.replace(`"name":"${name.replace(/-\d+$/, '')}"`, `"name":"${name}"`)
    if (!line.startsWith('{')) process.stdout.write(`${name}: ${line}\n`)
    else process.stdout.write(process.stdout.isTTY ? pretty(named) : `${named}\n`)
  }
}

function say(text: string): void {
  process.stdout.write(`${COMMAND_NAME}: ${text}\n`)
}
