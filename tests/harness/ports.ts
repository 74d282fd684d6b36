import { isFree } from '../../scripts/start/free-port.ts'

/**
 * A port that nobody listens on. Below those that the system gives to outgoing connections, so that a process that was
 * killed finds it free when it is started again.
 */
export function freePort(): Promise<number> {
  return freePortWith([0])
}

/** The first of ports that `npm start -- --port` takes: it, those that follow it, and as far off, that of NATS. */
export function freePortRange(): Promise<number> {
  return freePortWith([0, 1, 2, 3, 4, 4_222 - 8_080])
}

async function freePortWith(offsets: number[]): Promise<number> {
  for (;;) {
    const port = 10_000 + Math.floor(Math.random() * 20_000)
    const free = await Promise.all(offsets.map((offset) => isFree(port + offset)))
    if (free.every(Boolean)) return port
  }
}
