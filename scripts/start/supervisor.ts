import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { USAGE_STATUS } from '../../shared/runtime/command-line.ts'
import { toReason } from '../../shared/runtime/reason.ts'
import { retry } from '../../shared/runtime/retry.ts'
import type { Command } from './procfile.ts'

const RESTART = { initialMs: 1_000, maxMs: 16_000 }
/** A process that ran this long is healthy: its next exit resets the backoff. */
const HEALTHY_MS = 30_000
/** Longer than the graceful shutdown of a service. */
const STOP_TIMEOUT_MS = 12_000

/**
 * A background job that runs in the process group of each command. It reads a pipe whose other end only the supervisor
 * has. If the supervisor is killed, the pipe closes, and the job stops the group. So nothing depends on the parent's
 * pid, and commands that are started without the supervisor are not affected.
 */
const GUARD = `(
  trap '' TERM
  read -r _ <&3
  kill -s TERM -- -$$
  for _ in 1 2 3 4 5 6 7 8 9 10 11 12; do kill -s 0 $$ && /bin/sleep 1 || exit; done
  kill -s KILL -- -$$
) >/dev/null 2>&1 &
exec 3<&-
`

type Options = {
  commands: Command[]
  env: NodeJS.ProcessEnv
  /** Called with each line that a process writes. */
  onLine: (name: string, line: string) => void
  /** Called with each message from the supervisor itself. */
  say: (text: string) => void
  /** Called when a process exits because of invalid settings. It is not restarted. */
  onInvalidSettings: (name: string) => void
}

export type Supervisor = AsyncDisposable & {
  /** Kills all processes at once. */
  kill(): void
}

/**
 * Keeps processes running: one that exits is restarted with exponential backoff, and the others keep running. Disposing
 * stops them one by one, last started first, so that each process stops before its dependencies. They also stop if the
 * supervisor is killed.
 */
export function supervise({ commands, ...options }: Options): Supervisor {
  const stopping = new AbortController()
  const processes = commands.map((command) => keepRunning(command, options, stopping.signal))
  return {
    async [Symbol.asyncDispose]() {
      stopping.abort()
      for (const process of processes.toReversed()) await process.stop()
    },
    kill() {
      for (const process of processes) process.kill()
    },
  }
}

function keepRunning(
  { name, command }: Command,
  { env, onLine, say, onInvalidSettings }: Omit<Options, 'commands'>,
  signal: AbortSignal,
) {
  let child: ChildProcess | undefined

  async function run(resetBackoff: () => void): Promise<void> {
    const started = performance.now()
    // In its own process group, so that Ctrl-C reaches only the supervisor, which stops the processes in order.
    const stdio = ['ignore', 'pipe', 'pipe', 'pipe'] as const
    child = spawn('/bin/sh', ['-c', GUARD + command], { env, detached: true, stdio: [...stdio] })
    const [, , , guard] = child.stdio
    child.once('exit', () => guard?.destroy())
    for (const stream of [child.stdout, child.stderr]) {
      if (stream) createInterface({ input: stream }).on('line', (line) => onLine(name, line))
    }
    const [status, killedBy] = await once(child, 'close')
    if (status === USAGE_STATUS && !signal.aborted) return onInvalidSettings(name)
    if (performance.now() - started > HEALTHY_MS) resetBackoff()
    throw new Error(killedBy ?? `status ${status}`)
  }

  const done = retry(run, {
    ...RESTART,
    signal,
    onFailure(error, delayMs) {
      const delay = `${(delayMs / 1_000).toFixed(1)} s`
      say(`${name} exited (${toReason(error)}); restarting in ${delay}; the other processes keep running`)
    },
  })

  return {
    async stop() {
      child?.kill('SIGTERM')
      // Without SIGCONT, a suspended process would not exit.
      child?.kill('SIGCONT')
      const timer = setTimeout(() => child?.kill('SIGKILL'), STOP_TIMEOUT_MS)
      await done
      clearTimeout(timer)
    },
    kill: () => child?.kill('SIGKILL'),
  }
}
