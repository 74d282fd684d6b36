import { type ServiceEntry, serviceEntries, services } from '../../services.ts'
import type { NatsAccess } from '../../shared/nats/credentials.ts'
import type { Secret } from '../../shared/runtime/secret.ts'
import { probe } from '../http.ts'
import { plural } from '../plural.ts'
import { type Finding, findingsAbout } from './finding.ts'
import { isPrivateDatabase, isPrivateDirectory, isPrivateServer, isPrivateUrl } from './privacy.ts'
import type { Inspected } from './services.ts'

const { ok, fail } = findingsAbout('public')

/** A valid id that no asset or user has. */
const NOBODY = 'doctor-probe'

/** The system to check. */
export type Exposed = {
  /** The origins of all instances of a service. */
  originsOf: (service: ServiceEntry) => string[]
  plays: Promise<Pick<Inspected, 'metrics'>[]>
  nats: NatsAccess
  database: readonly Secret[] | undefined
  dataDir: string
  limitsConnections: boolean
  isBehindProxy: boolean
}

type Exposure = {
  /** What the exposure lets strangers do. */
  risk: string
  /** How to remove the exposure. */
  remedy: string
  /** True if the check makes play log a warning, which an ordinary run of the doctor must not cause. */
  isNoisy?: boolean
  isAbsent: (system: Exposed) => boolean | Promise<boolean>
}

/** The body is invalid, so that a service that requires no token writes nothing. */
const INVALID = { method: 'POST', body: '{}' } as const
const WRITES = [
  refuses(401, services.metadata, `/content/asset/${NOBODY}`, INVALID),
  refuses(401, services.cdnurl, `/url/asset/${NOBODY}`, INVALID),
  refuses(401, services.reporting, '/events', INVALID),
  refuses(401, services['queue-listener'], '/dead-letters?limit=1'),
]

/** The exposures on the checklist in docs/security.md, keyed by name. Every check is read-only. */
const EXPOSURES: Record<string, Exposure> = {
  identity: {
    risk: 'anyone can play as anyone',
    remedy: 'set AUTH_JWKS_URL, AUTH_ISSUER and AUTH_AUDIENCE',
    // A prefetch records no view even if play accepts it.
    isAbsent: refuses(401, services.play, `/play/asset/${NOBODY}/user/${NOBODY}`, {
      method: 'POST',
      headers: { 'sec-purpose': 'prefetch' },
    }),
  },
  'user-rate': {
    risk: 'a user can play without limit',
    remedy: 'set PLAY_RATE',
    isAbsent: ({ plays }) => hasLimit(plays, 'user'),
  },
  'client-rate': {
    risk: 'a client can send requests without limit',
    remedy: 'set CLIENT_RATE',
    isAbsent: ({ plays }) => hasLimit(plays, 'client'),
  },
  connections: {
    risk: 'a client can open connections until none is left',
    remedy: 'set CLIENT_CONNECTIONS, or TRUSTED_PROXIES if a proxy limits them',
    isAbsent: ({ limitsConnections, isBehindProxy }) => limitsConnections || isBehindProxy,
  },
  operations: {
    risk: 'the console, metrics and user ids in live counts are public',
    remedy: 'set OPS_PORT',
    isAbsent: refuses(404, services.play, '/metrics'),
  },
  hosts: {
    risk: 'play responds to any host name',
    remedy: 'set ALLOWED_HOSTS',
    isNoisy: true,
    isAbsent: refuses(421, services.play, '/catalogue', { headers: { host: 'doctor.invalid' } }),
  },
  reads: {
    risk: 'anyone who can reach reporting can read the counts of each user',
    remedy: 'set READ_TOKEN',
    isAbsent: refuses(401, services.reporting, `/events/user/${NOBODY}`),
  },
  writes: {
    risk: 'anyone who can reach the services can change the catalogue and the counts, and read dead letters',
    remedy: 'set WRITE_TOKEN',
    isAbsent: async (system) => (await Promise.all(WRITES.map((isRefused) => isRefused(system)))).every(Boolean),
  },
  nats: {
    risk: 'anyone who can reach NATS can read and write the log, or read the password on the network',
    remedy: 'set NATS_URL=tls://… with credentials, or keep NATS on loopback',
    isAbsent: ({ nats }) => nats.servers.every((server) => isPrivateServer(server, nats)),
  },
  upstreams: {
    risk: 'calls between services can be read and changed on the network',
    remedy: 'set https URLs, or keep the services on loopback',
    isAbsent: ({ originsOf }) => serviceEntries.flatMap(originsOf).every(isPrivateUrl),
  },
  database: {
    risk: 'the counts can be read and changed on the network',
    remedy: 'set sslmode=verify-full in DATABASE_URL, or keep Postgres on loopback',
    isAbsent: ({ database = [] }) => database.every((url) => isPrivateDatabase(new URL(url.reveal()))),
  },
  files: {
    risk: 'others on this machine can read files with views',
    remedy: 'run chmod -R go= on DATA_DIR',
    isAbsent: ({ dataDir }) => isPrivateDirectory(dataDir),
  },
}

/** If `isPublic`, returns a finding per line of the checklist. Otherwise, returns a summary without noisy checks. */
export async function checkPublic(system: Exposed, isPublic: boolean): Promise<Finding[]> {
  const exposures = Object.entries(EXPOSURES).filter(([, { isNoisy = false }]) => isPublic || !isNoisy)
  const absent = await Promise.all(exposures.map(([, { isAbsent }]) => isAbsent(system)))
  if (isPublic) {
    return exposures.map(([name, { risk, remedy }], n) =>
      absent[n] ? ok(`${name}: not exposed`) : fail(`${name}: ${risk}: ${remedy}`),
    )
  }
  const count = absent.filter((isAbsent) => !isAbsent).length
  if (count === 0) return [ok('no exposure found; npm run doctor -- --public checks the host names too')]
  return [ok(`not safe for the internet: ${plural(count, 'exposure')}; npm run doctor -- --public lists them`)]
}

/**
 * Checks that every instance of a service returns this status. The check fails if there is no instance, because an
 * exposure that cannot be checked counts as present.
 */
function refuses(status: number, service: ServiceEntry, path: string, options: Parameters<typeof probe>[1] = {}) {
  return async function isRefused({ originsOf }: Exposed): Promise<boolean> {
    const responses = await Promise.all(originsOf(service).map((origin) => probe(`${origin}${path}`, options)))
    return responses.length > 0 && responses.every((response) => response.status === status)
  }
}

/** Checks that every instance of play has the metric for a limit, which play exports only if the limit is set. */
async function hasLimit(inspecting: Exposed['plays'], limit: string): Promise<boolean> {
  const plays = await inspecting
  const metric = `rate_limited_requests_total{limit="${limit}"}`
  return plays.length > 0 && plays.every(({ metrics }) => metrics.includes(metric))
}
