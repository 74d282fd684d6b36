import { readdirSync, readFileSync } from 'node:fs'

/**
 * How long the threads of a process have run, and how long they have waited for a CPU while runnable, in milliseconds
 * since the process started.
 */
export type RunQueue = { ranMs: number; waitedMs: number }

/**
 * Sums the Linux scheduler's statistics (https://docs.kernel.org/scheduler/sched-stats.html) over all threads of a
 * process. Returns undefined on other systems.
 */
export function readRunQueue(pid: number): RunQueue | undefined {
  try {
    const threads = readdirSync(`/proc/${pid}/task`).map((thread) => {
      const [ran = 0, waited = 0] = readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ').map(Number)
      return { ranMs: ran / 1e6, waitedMs: waited / 1e6 }
    })
    const sumOf = (key: keyof RunQueue) => threads.reduce((sum, thread) => sum + thread[key], 0)
    return { ranMs: sumOf('ranMs'), waitedMs: sumOf('waitedMs') }
  } catch {
    return undefined
  }
}
