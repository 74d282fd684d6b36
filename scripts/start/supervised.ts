import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import type { ControlledProcess } from '../../shared/contracts/controls.ts'
import { USAGE_STATUS } from '../../shared/runtime/command-line.ts'
import { toReason } from '../../shared/runtime/reason.ts'
import { retry } from '../../shared/runtime/retry.ts'
import { sleep } from '../../shared/runtime/sleep.ts'
import { createFault } from './fault.ts'
import { spawnGuarded, terminate } from './guarded-process.ts'
import { readProcessState } from './process-state.ts'
import type { Command } from './procfile.ts'

const RESTART = { initialMs: 1_000, maxMs: 16_000 }
/** A process that ran this long is healthy: its next exit resets the backoff. */
const HEALTHY_MS = 30_000

export type SupervisionOptions = {
  env: NodeJS.ProcessEnv
  /** Called with each line that a process writes. */
  onLine: (name: string, line: string) => void
  /** Called with each message from the supervisor itself. */
  say: (text: string) => void
  /** Called when a process exits because of invalid settings. The process is not restarted. */
  onInvalidSettings: (name: string) => void
}

/** A process under supervision, with faults that end by themselves. */
export type Supervised = {
  name: string
  status(): Promise<Omit<ControlledProcess, 'actions'>>
  /** Kills the process with SIGKILL. It starts again after `downMs`. Returns false if it is down. */
  crash(downMs: number): boolean
  /** Suspends the process with SIGSTOP, and resumes it after `forMs`. Returns false if it is down. */
  hang(forMs: number): boolean
  /** Resumes the process with SIGCONT. Returns false if it is down. */
  resume(): boolean
  /** Stops the process gracefully if it is up, runs `whileDown`, and starts it at once, even if `whileDown` fails. */
  restart(whileDown?: () => Promise<void>): void
}

/** Unlike a control, the supervisor can stop a process permanently. */
type KeptRunning = Supervised & { stop(): Promise<void>; kill(): void }

/** Runs a command, and restarts it whenever it exits, until `signal` aborts. */
export function keepRunning(
  { name, command }: Command,
  { env, onLine, say, onInvalidSettings }: SupervisionOptions,
  signal: AbortSignal,
): KeptRunning {
  let child: ChildProcess | undefined
  let starts = 0
  let lastExit: string | null = null
  const fault = createFault()
  /** Aborts when a control ends the process, so that the process starts again without backoff. */
  let round = new AbortController()
  let wait = new AbortController()
  let whileDown = async () => {}

  /** The process that a control has killed, which may not have exited yet. */
  let killed: ChildProcess | undefined

  function present(): ChildProcess | undefined {
    return child?.exitCode === null && child.signalCode === null ? child : undefined
  }

  function running(): ChildProcess | undefined {
    return child === killed ? undefined : present()
  }

  /** Reads again if the process was replaced during the read, because the state is then its predecessor's. */
  async function readState() {
    for (;;) {
      const process = present()
      const state = process?.pid === undefined ? 'down' : await readProcessState(process.pid)
      if (process === present()) return { pid: process?.pid, state }
    }
  }

  async function run(resetBackoff: () => void): Promise<void> {
    const startedAt = performance.now()
    child = spawnGuarded(command, { env, onLine: (line) => onLine(name, line) })
    starts += 1
    const [status, killedBy] = await once(child, 'close')
    lastExit = killedBy ?? `status ${status}`
    if (status === USAGE_STATUS && !signal.aborted) return onInvalidSettings(name)
    if (performance.now() - startedAt > HEALTHY_MS) resetBackoff()
    throw new Error(killedBy ?? `status ${status}`)
  }

  async function keep(): Promise<void> {
    do {
      wait = new AbortController()
      round = new AbortController()
      await sleep(fault.remaining(), AbortSignal.any([signal, wait.signal]))
      fault.end()
      const work = whileDown
      whileDown = async () => {}
      await work().catch((error) => say(`${name}: ${toReason(error)}`))
      if (signal.aborted) return
      await retry(run, {
        ...RESTART,
        signal: AbortSignal.any([signal, round.signal]),
        onFailure(error, delayMs) {
          const delay = `${(delayMs / 1_000).toFixed(1)} s`
          say(`${name} exited (${toReason(error)}); restarting in ${delay}; the other processes keep running`)
        },
      })
    } while (round.signal.aborted && !signal.aborted)
  }

  const done = keep()

  return {
    name,
    async status() {
      const { pid, state } = await readState()
      const remaining = fault.remaining()
      const isFault = remaining > 0 && state !== 'running'
      return {
        name,
        state,
        pid: state === 'down' ? null : (pid ?? null),
        starts,
        lastExit,
        until: isFault ? new Date(Date.now() + remaining).toISOString() : null,
      }
    },
    crash(downMs: number) {
      const process = running()
      if (!process) return false
      fault.begin(downMs)
      killed = process
      round.abort()
      say(`${name}: killed by a control; it starts again in ${(downMs / 1_000).toFixed(1)} s`)
      return process.kill('SIGKILL')
    },
    hang(forMs: number) {
      const process = running()
      if (!process?.kill('SIGSTOP')) return false
      fault.begin(forMs, () => process.kill('SIGCONT'))
      say(`${name}: suspended by a control for ${(forMs / 1_000).toFixed(1)} s`)
      return true
    },
    resume() {
      if (!running()?.kill('SIGCONT')) return false
      fault.end()
      return true
    },
    restart(work = async () => {}) {
      fault.end()
      whileDown = work
      round.abort()
      wait.abort()
      const process = running()
      if (process) terminate(process)
      say(`${name}: restarted by a control`)
    },
    async stop() {
      fault.end()
      const process = running()
      if (process) terminate(process)
      await done
    },
    kill: () => child?.kill('SIGKILL'),
  }
}
