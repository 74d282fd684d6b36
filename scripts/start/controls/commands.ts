import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import type { ControlledCommand } from '../../../shared/contracts/controls.ts'

/** One of the project's commands. Only one run of it can be active at a time. */
export type OwnCommand = AsyncDisposable & {
  status(): ControlledCommand
  /** Runs the command. Returns false if it is already running. */
  run(args?: string[]): boolean
  stop(): void
}

type Options = {
  /** The command that a user would type, such as `npm run seed`. */
  name: string
  script: string
  env: NodeJS.ProcessEnv
  onLine: (line: string) => void
}

/** Runs `bash <script>` with arguments, in its own process group. */
export function createCommand({ name, script, env, onLine }: Options): OwnCommand {
  let child: ChildProcess | undefined
  let ended: Promise<unknown> = Promise.resolve()
  let line = ''
  let command = name

  const isRunning = () => child !== undefined && child.exitCode === null && child.signalCode === null

  function stop(): void {
    if (!child?.pid || !isRunning()) return
    try {
      process.kill(-child.pid, 'SIGTERM')
    } catch {
      // The process has just exited.
    }
  }

  return {
    status() {
      if (!child) return { command, state: 'idle', line }
      if (isRunning()) return { command, state: 'running', line }
      return { command, state: child.exitCode === 0 || child.signalCode === 'SIGTERM' ? 'done' : 'failed', line }
    },
    run(args = []) {
      if (isRunning()) return false
      command = args.length > 0 ? `${name} -- ${args.join(' ')}` : name
      line = ''
      const started = spawn('bash', [script, ...args], { env, detached: true, stdio: ['ignore', 'pipe', 'pipe'] })
      for (const stream of [started.stdout, started.stderr]) {
        createInterface({ input: stream }).on('line', (text) => {
          line = text
          onLine(text)
        })
      }
      started.on('error', (error) => {
        line = error.message
      })
      child = started
      ended = once(started, 'close').catch(() => undefined)
      return true
    },
    stop,
    async [Symbol.asyncDispose]() {
      stop()
      if (child) await ended
    },
  }
}
