import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { eventually } from './eventually.ts'

const STOP_LIMIT_MS = 15_000

/** A process that a test started. It never outlives the test's own process. */
export type Child = AsyncDisposable & {
  pid: number
  isRunning(): boolean
  /** Everything that it wrote so far, line by line. */
  lines: string[]
  /** Resolves with the first line, of those to come and those that came, for which `find` has a result. */
  line<Result>(find: (line: string) => Result | undefined): Promise<Result>
  /** Sends a signal and waits for its effect: the end, or after SIGSTOP the standstill. */
  signal(signal: NodeJS.Signals): Promise<void>
  /** Resolves with the exit status, or the signal that ended it. */
  ended: Promise<number | NodeJS.Signals | null>
}

const running = new Set<ChildProcess>()
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})

export function startChild(
  program: string,
  args: string[],
  options: { env?: NodeJS.ProcessEnv; cwd?: string } = {},
): Child {
  const child = spawn(program, args, {
    ...options,
    env: { ...process.env, NODE_ENV: '', FORCE_COLOR: '0', ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  running.add(child)
  const lines: string[] = []
  const waiting = new Set<() => void>()
  for (const stream of [child.stdout, child.stderr]) {
    createInterface({ input: stream }).on('line', (line) => {
      lines.push(line)
      for (const look of waiting) look()
    })
  }
  const ended = once(child, 'close').then(([status, signal]) => {
    running.delete(child)
    for (const look of waiting) look()
    return status ?? signal
  })

  async function signal(name: NodeJS.Signals): Promise<void> {
    child.kill(name)
    if (name === 'SIGSTOP') await eventually(() => assertStopped(child.pid))
    else if (name !== 'SIGCONT') await ended
  }

  return {
    pid: child.pid ?? 0,
    isRunning: () => running.has(child),
    lines,
    ended,
    signal,
    line(find) {
      let seen = 0
      const { promise, resolve, reject } = Promise.withResolvers<NonNullable<ReturnType<typeof find>>>()
      const look = () => {
        for (; seen < lines.length; seen += 1) {
          const result = find(lines[seen] as string)
          if (result !== undefined) return done(() => resolve(result as NonNullable<typeof result>))
        }
        if (!running.has(child))
          done(() => reject(new Error(`${program} ${args.join(' ')} ended:\n${lines.join('\n')}`)))
      }
      const done = (settle: () => void) => {
        waiting.delete(look)
        settle()
      }
      waiting.add(look)
      look()
      return promise as Promise<never>
    },
    async [Symbol.asyncDispose]() {
      if (!running.has(child)) return
      child.kill('SIGCONT')
      const late = setTimeout(() => child.kill('SIGKILL'), STOP_LIMIT_MS)
      await signal('SIGTERM')
      clearTimeout(late)
    },
  }
}

/** A stop signal takes effect a little after it was sent. */
function assertStopped(pid: number | undefined): void {
  const { stdout } = spawnSync('ps', ['-o', 'state=', '-p', String(pid)], { encoding: 'utf8' })
  if (!stdout.startsWith('T')) throw new Error(`process ${pid} is in state ${stdout}`)
}
