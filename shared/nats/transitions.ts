import type { Logger } from '../runtime/log.ts'

/** A connection that lasted this long is stable. */
const STABLE_MS = 5_000

/** After this many consecutive unstable connections, further unstable connections are not logged. */
const MAX_LOGGED_FLAPS = 2

/**
 * Logs when the connection comes up and goes down. If a server accepts connections and then hangs, each new
 * connection goes down within a second. So after a few such connections, "up" is logged only when a connection has
 * become stable, and "down" only after a logged "up".
 */
export function createTransitions(log: Logger) {
  let flaps = 0
  let upSince = 0
  let isLogged = false
  let timer: NodeJS.Timeout | undefined

  return {
    up(server: string): void {
      upSince = performance.now()
      const logUp = () => {
        isLogged = true
        log.info({ server }, 'NATS is up')
      }
      if (flaps < MAX_LOGGED_FLAPS) logUp()
      else timer = setTimeout(logUp, STABLE_MS)
    },
    /** @returns true if the connection was stable */
    down(reason: string, isClosing: boolean): boolean {
      clearTimeout(timer)
      const isStable = performance.now() - upSince > STABLE_MS
      flaps = isStable ? 0 : flaps + 1
      if (isLogged && !isClosing) log.warn({ reason }, 'NATS is down')
      isLogged = false
      return isStable
    },
  }
}
