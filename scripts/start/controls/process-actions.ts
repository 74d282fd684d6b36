import { sleep } from '../../../shared/runtime/sleep.ts'
import type { Supervised } from '../supervised.ts'
import type { CheckpointControl } from './checkpoint.ts'

const REACTION_MS = 1_000
const REACTION_POLL_MS = 10

/** Returns false if the process is down. */
type Act = () => boolean | Promise<boolean>

/** @returns a function that carries out the action, or undefined if there is no such action */
export function toAct(
  target: Supervised,
  action: string,
  faultMs: number,
  checkpoint: CheckpointControl | undefined,
): Act | undefined {
  const restart = (work?: () => Promise<void>) => () => {
    target.restart(work)
    return true
  }
  if (action === 'kill') return () => target.crash(faultMs)
  if (action === 'hang') return () => target.hang(faultMs)
  if (action === 'continue') return () => target.resume()
  if (action === 'restart') return restart()
  if (!checkpoint || target.name !== 'reporting') return undefined
  if (action === 'replay') return restart(checkpoint.setAside)
  if (action === 'restore') return restart(checkpoint.restore)
  if (action === 'keep') return () => checkpoint.forget().then(() => true)
  return undefined
}

/** Returns the state that the operating system reports, once it has changed or `REACTION_MS` have passed. */
export async function readBack(target: Supervised, action: string, startsBefore: number) {
  const isDone: Record<string, (status: Awaited<ReturnType<Supervised['status']>>) => boolean> = {
    kill: ({ state, starts }) => state === 'down' || starts > startsBefore,
    hang: ({ state }) => state === 'hung',
    continue: ({ state }) => state === 'running',
    restart: ({ starts }) => starts > startsBefore,
  }
  const limit = performance.now() + REACTION_MS
  for (;;) {
    const status = await target.status()
    if ((isDone[action]?.(status) ?? true) || performance.now() > limit) return status
    await sleep(REACTION_POLL_MS)
  }
}
