import type { Command } from './procfile.ts'
import { keepRunning, type Supervised, type SupervisionOptions } from './supervised.ts'

type Options = SupervisionOptions & { commands: Command[] }

export type Supervisor = AsyncDisposable & {
  processes: readonly Supervised[]
  /** Kills all processes at once. */
  kill(): void
}

/**
 * Keeps processes running: a process that exits is restarted with exponential backoff, and the others keep running.
 * Disposing stops the processes one by one, in reverse order of their start, so that each process stops before its
 * dependencies. The processes also stop if the supervisor is killed.
 */
export function supervise({ commands, ...options }: Options): Supervisor {
  const stopping = new AbortController()
  const processes = commands.map((command) => keepRunning(command, options, stopping.signal))
  return {
    processes,
    async [Symbol.asyncDispose]() {
      stopping.abort()
      for (const process of processes.toReversed()) await process.stop()
    },
    kill() {
      for (const process of processes) process.kill()
    },
  }
}
