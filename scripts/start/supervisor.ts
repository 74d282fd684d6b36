import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { sleep } from '../../shared/runtime/sleep.ts'
import type { Command } from './procfile.ts'

const FIRST_DELAY_MS = 1_000
const MAX_DELAY_MS = 16_000
/** Who has lived this long was well: its next death is its first. */
const WELL_AFTER_MS = 30_000
/** A little more than a service gives itself. */
const STOP_LIMIT_MS = 12_000
/** The exit status of a service whose settings are wrong: starting it again would not help. */
const WRONG_SETTINGS = 2

type Options = {
  commands: Command[]
  env: NodeJS.ProcessEnv
  /** Gets every line that a process writes. */
  onLine: (name: string, line: string) => void
  /** Gets what the supervisor has to say. */
  say: (text: string) => void
  /** Told when a process cannot run with its settings. */
  onWrongSettings: (name: string) => void
}

/**
 * Keeps processes running: one that dies takes no other down, and is started again at growing intervals. Disposing ends
 * them one by one, last started first, so that each one's dependencies outlive it.
 */
export function supervise({
  commands,
  env,
  onLine,
  say,
  onWrongSettings,
}: Options): AsyncDisposable & { kill(): void } {
  const stopping = new AbortController()
  const processes = commands.map(({ name, command }) => keepRunning(name, command))

  function keepRunning(name: string, command: string) {
    let child: ChildProcess | undefined
    const done = run()

    async function run(): Promise<void> {
      let delay = FIRST_DELAY_MS
      while (!stopping.signal.aborted) {
        const started = performance.now()
        // In a group of its own, so that Ctrl-C reaches the supervisor alone, which then ends them in order.
        child = spawn('/bin/sh', ['-c', command], { env, detached: true, stdio: ['ignore', 'pipe', 'pipe'] })
        for (const stream of [child.stdout, child.stderr]) {
          if (stream) createInterface({ input: stream }).on('line', (line) => onLine(name, line))
        }
        const [status, signal] = (await once(child, 'close')) as [number | null, string | null]
        if (stopping.signal.aborted) return
        if (status === WRONG_SETTINGS) return onWrongSettings(name)
        if (performance.now() - started > WELL_AFTER_MS) delay = FIRST_DELAY_MS
        say(
          `${name} ended (${signal ?? `status ${status}`}); the others go on; starting it again in ${delay / 1_000} s`,
        )
        await sleep(delay, stopping.signal)
        delay = Math.min(delay * 2, MAX_DELAY_MS)
      }
    }

    return {
      async end(): Promise<void> {
        child?.kill('SIGTERM')
        const late = setTimeout(() => child?.kill('SIGKILL'), STOP_LIMIT_MS)
        await done
        clearTimeout(late)
      },
      kill: () => child?.kill('SIGKILL'),
    }
  }

  return {
    async [Symbol.asyncDispose]() {
      stopping.abort()
      for (const process of processes.toReversed()) await process.end()
    },
    /** Ends all at once. */
    kill() {
      for (const process of processes) process.kill()
    },
  }
}
