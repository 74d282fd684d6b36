import { existsSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { prettyFactory } from 'pino-pretty'
import { PRETTY } from '../../shared/runtime/log.ts'
import { isEdgePort, WRONG_EDGE_PORT } from './edge-port.ts'
import { isFree } from './free-port.ts'
import { greeting } from './greeting.ts'
import { makePlan, type Plan, PlanError, SERVICES } from './plan.ts'
import { supervise } from './supervisor.ts'

const READY_LIMIT_MS = 30_000
const READY_EVERY_MS = 100
const SECOND_SIGNAL_AFTER_MS = 500

const usage = `Usage: npm start [-- --port N] [-- --consul]

Starts everything. Where NATS_URL is set or nats-server is installed, the processes of the Procfile; otherwise one
process, with the event log in a file. Settings: see .env.example.

  --port N   port of the edge (default: ${SERVICES.play}); all other ports, that of NATS too, move by as much
  --consul   also a Consul agent in development mode, by which the services find each other, and a second metadata
             (npm run start:consul)
`

process.exitCode = await main()

/** @returns the exit status */
async function main(): Promise<number> {
  if (existsSync('.env')) process.loadEnvFile('.env')
  const options = readOptions()
  if (!options) return 2
  if (options.help) {
    process.stdout.write(usage)
    return 0
  }
  const plan = planFor(options)
  if (!plan) return 1
  const taken = await firstTaken(plan.ports)
  if (taken) {
    say(`port ${taken.port}, which ${taken.name} needs, is already in use; npm start -- --port N takes others`)
    return 1
  }
  say(`starting ${plan.intro}`)
  return run(plan)
}

function planFor({ port, consul }: { port: number; consul: boolean }): Plan | undefined {
  try {
    return makePlan(port, process.env, consul)
  } catch (error) {
    if (!(error instanceof PlanError)) throw error
    say(error.message)
    return undefined
  }
}

async function run(plan: Plan): Promise<number> {
  const end = Promise.withResolvers<number>()
  const ended = new AbortController()
  await using processes = supervise({
    commands: plan.commands,
    env: plan.env,
    onLine: createPrinter(),
    say,
    onWrongSettings(name) {
      say(`${name} does not start with these settings`)
      end.resolve(2)
    },
  })
  let asked: number | undefined
  const onSignal = () => {
    asked ??= performance.now()
    // One Ctrl-C comes twice, from the terminal and from npm; a second one means at once.
    if (performance.now() - asked > SECOND_SIGNAL_AFTER_MS) processes.kill()
    end.resolve(0)
  }
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, onSignal)
  // The terminal was closed, or who read along has gone: nobody is told any more, but what was started is ended.
  for (const output of [process.stdout, process.stderr]) output.on('error', () => end.resolve(0))
  void greetWhenReady(plan, ended.signal)
  const status = await end.promise
  ended.abort()
  if (status === 0) say('stopping')
  return status
}

async function greetWhenReady(plan: Plan, ended: AbortSignal): Promise<void> {
  const limit = performance.now() + READY_LIMIT_MS
  while (!(await areReady(plan))) {
    if (ended.aborted) return
    if (performance.now() > limit) return say(`not ready after ${READY_LIMIT_MS / 1_000} s; the lines above say why`)
    await sleep(READY_EVERY_MS)
  }
  if (!ended.aborted) process.stdout.write(greeting(plan))
}

async function areReady({ services }: Plan): Promise<boolean> {
  const answers = services.map(({ port }) => fetch(`http://127.0.0.1:${port}/readyz`))
  return Promise.all(answers).then(
    (all) => all.every(({ ok }) => ok),
    () => false,
  )
}

/** Readable lines for a person; for a program the services' own JSON, and the rest with its process' name. */
function createPrinter(): (name: string, line: string) => void {
  const pretty = prettyFactory({ ...PRETTY, colorize: process.stdout.isTTY })
  return (name, line) => {
    // Both servers tell at length how they start.
    if (name === 'nats' && line.includes('[INF]')) return
    if (name === 'consul' && !/\[(WARN|ERROR)\]/.test(line)) return
    if (!line.startsWith('{')) process.stdout.write(`${name}: ${line}\n`)
    else process.stdout.write(process.stdout.isTTY ? pretty(line) : `${line}\n`)
  }
}

async function firstTaken(ports: Plan['ports']): Promise<Plan['ports'][number] | undefined> {
  for (const needed of ports) {
    if (!(await isFree(needed.port))) return needed
  }
  return undefined
}

function readOptions(): { port: number; consul: boolean; help: boolean } | undefined {
  try {
    const { values } = parseArgs({
      options: {
        port: { type: 'string', default: String(SERVICES.play) },
        consul: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
    })
    const port = Number(values.port)
    if (isEdgePort(port)) return { ...values, port }
    say(`--port is "${values.port}": ${WRONG_EDGE_PORT}`)
  } catch (error) {
    say(`${(error as Error).message.split('. ')[0]}; --help lists the options`)
  }
  return undefined
}

function say(text: string): void {
  process.stdout.write(`npm start: ${text}\n`)
}
