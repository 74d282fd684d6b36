import { serviceEntries, services } from '../../services.ts'
import { toOrigin } from '../../shared/runtime/origin.ts'

const NATS_PORT = 4222

/** Returns the environment for the processes. It includes service URLs that are not set in `given`. */
export function environmentAt(edgePort: number, given: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const offset = edgePort - services.play.port
  const nats = given.NATS_URL_FILE ? {} : { NATS_URL: `nats://127.0.0.1:${NATS_PORT + offset}` }
  return { ...urlsAt(edgePort, given), ...nats, ...withoutEmpty(given) }
}

/** Returns the URL settings of the services that `npm start` runs on this port. */
export function urlsAt(edgePort: number, { HOST }: NodeJS.ProcessEnv): Record<string, string> {
  const host = toReachable(HOST)
  const offset = edgePort - services.play.port
  return Object.fromEntries(serviceEntries.map(({ urlSetting, port }) => [urlSetting, toOrigin(host, port + offset)]))
}

/** Returns an address at which this machine reaches services that listen on HOST, which may be a wildcard address. */
export function toReachable(host: string | undefined): string {
  return !host || host === '0.0.0.0' || host === '::' ? '127.0.0.1' : host
}

/** Removes empty variables, which count as unset. */
export function withoutEmpty(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(env).filter(([, value]) => value !== ''))
}
