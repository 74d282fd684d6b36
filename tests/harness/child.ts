import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { EventEmitter, once } from 'node:events'
import { resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { eventually } from './eventually.ts'

const STOP_LIMIT_MS = 15_000

/** Caching compiled modules nearly halves the startup time of services. */
const COMPILE_CACHE = resolve('node_modules/.cache/node-compile-cache')

/** A process started by a test. It never outlives the test process. */
export type Child = AsyncDisposable & {
  pid: number
  isRunning(): boolean
  /** The process's output so far, line by line. */
  lines: string[]
  /**
   * Calls `find` with each past and future line, and resolves to the first result that is not undefined.
   * @throws Error if the process exits first
   */
  line<Result>(find: (line: string) => Result | undefined): Promise<Result>
  /**
   * Retries `check` until it succeeds.
   * @throws Error with the process's output if it exits first
   */
  ready(check: () => Promise<unknown>): Promise<void>
  /** Sends a signal, and waits until the process has exited or, after SIGSTOP, is suspended. */
  signal(signal: NodeJS.Signals): Promise<void>
  /** Resolves to the exit status, or to the signal that killed the process. */
  ended: Promise<number | NodeJS.Signals | null>
}

/** Every process that this file's tests have started. */
export const children: Child[] = []

const running = new Set<ChildProcess>()
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})
// The test runner ends its workers with SIGTERM. By default, a process that is ended by a signal emits no `exit` event.
process.on('SIGTERM', () => process.exit(1))

export function startChild(
  program: string,
  args: string[],
  options: { env?: NodeJS.ProcessEnv; cwd?: string } = {},
): Child {
  const child = spawn(program, args, {
    ...options,
    env: { ...process.env, NODE_ENV: '', FORCE_COLOR: '0', NODE_COMPILE_CACHE: COMPILE_CACHE, ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  running.add(child)
  const lines: string[] = []
  const changes = new EventEmitter().setMaxListeners(0)
  for (const stream of [child.stdout, child.stderr]) {
    createInterface({ input: stream }).on('line', (line) => {
      lines.push(line)
      changes.emit('change')
    })
  }
  const ended = once(child, 'close').then(([status, signal]) => {
    running.delete(child)
    changes.emit('change')
    return status ?? signal
  })

  const endedError = () => new Error(`${program} ${args.join(' ')} ended:\n${lines.join('\n')}`)

  async function signal(name: NodeJS.Signals): Promise<void> {
    child.kill(name)
    if (name === 'SIGSTOP') await eventually(() => assertSuspended(child.pid))
    else if (name !== 'SIGCONT') await ended
  }

  const started = {
    pid: child.pid ?? 0,
    isRunning: () => running.has(child),
    lines,
    ended,
    signal,
    async line<Result>(find: (line: string) => Result | undefined): Promise<Result> {
      for (let next = 0; ; ) {
        for (const line of lines.slice(next)) {
          next += 1
          const result = find(line)
          if (result !== undefined) return result
        }
        if (!running.has(child)) throw endedError()
        await once(changes, 'change')
      }
    },
    async ready(check: () => Promise<unknown>): Promise<void> {
      const isRunning = await eventually(async () => {
        if (running.has(child)) await Promise.race([check(), ended])
        return running.has(child)
      })
      if (!isRunning) throw endedError()
    },
    async [Symbol.asyncDispose]() {
      if (!running.has(child)) return
      child.kill('SIGCONT')
      const late = setTimeout(() => child.kill('SIGKILL'), STOP_LIMIT_MS)
      await signal('SIGTERM')
      clearTimeout(late)
    },
  }
  children.push(started)
  return started
}

/** The kernel suspends a process shortly after SIGSTOP. */
function assertSuspended(pid: number | undefined): void {
  const { stdout } = spawnSync('ps', ['-o', 'state=', '-p', String(pid)], { encoding: 'utf8' })
  if (!stdout.startsWith('T')) throw new Error(`process ${pid} is in state ${stdout}`)
}
