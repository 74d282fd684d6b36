import { type ChildProcess, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'

/** Must be longer than a service takes to shut down gracefully. */
const STOP_TIMEOUT_MS = 12_000

/**
 * A background job that runs in each command's process group. It reads a pipe whose other end only the supervisor
 * holds. If the supervisor is killed, the pipe closes, and the job stops the group. The job does not depend on the
 * supervisor's pid. Commands that are started without a supervisor run without this job.
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

/** Starts a shell command that ends if this process is killed. */
export function spawnGuarded(
  command: string,
  { env, onLine }: { env: NodeJS.ProcessEnv; onLine: (line: string) => void },
): ChildProcess {
  // The command has its own process group: Ctrl-C reaches only the supervisor, which stops the processes in order.
  const stdio = ['ignore', 'pipe', 'pipe', 'pipe'] as const
  const child = spawn('/bin/sh', ['-c', GUARD + command], { env, detached: true, stdio: [...stdio] })
  const [, , , guard] = child.stdio
  child.once('exit', () => guard?.destroy())
  for (const stream of [child.stdout, child.stderr]) {
    if (stream) createInterface({ input: stream }).on('line', onLine)
  }
  return child
}

/** Terminates a process gracefully, and kills it if this takes too long. */
export function terminate(process: ChildProcess): void {
  process.kill('SIGTERM')
  // Without SIGCONT, a suspended process would not exit.
  process.kill('SIGCONT')
  const timer = setTimeout(() => process.kill('SIGKILL'), STOP_TIMEOUT_MS)
  process.once('exit', () => clearTimeout(timer))
}
