import type { Change, Changes } from './changes.ts'

/** Changes within one process: for embedded mode, and for a service without NATS, where nobody listens. */
export function createLocalChanges(): Changes {
  const listeners: ((change: Change) => void)[] = []
  return {
    publish(change) {
      for (const listener of listeners) listener(change)
    },
    subscribe(onChange) {
      listeners.push(onChange)
    },
  }
}
