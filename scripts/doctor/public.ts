import { type ServiceEntry, serviceEntries, services } from '../../services.ts'
import type { NatsAccess } from '../../shared/nats/credentials.ts'
import { isLoopbackUrl } from '../../shared/runtime/loopback.ts'
import { probe } from '../http.ts'
import { plural } from '../plural.ts'
import { type Finding, findingsAbout } from './finding.ts'
import { isPrivateDirectory } from './private-directory.ts'
import type { System } from './system.ts'

const { ok, fail } = findingsAbout('public')

/** A valid id that no asset or user has. */
const NOBODY = 'doctor-probe'

/** The parts of the system that strangers could reach. */
export type Exposed = Pick<System, 'isPublic' | 'access' | 'originsOf' | 'inspectedOf' | 'isNothingRunning'> & {
  settings: Pick<System['settings'], 'CLIENT_CONNECTIONS' | 'DATABASE_URL' | 'DATA_DIR' | 'TRUSTED_PROXIES'>
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
    isAbsent: hasLimit('user'),
  },
  'client-rate': {
    risk: 'a client can send requests without limit',
    remedy: 'set CLIENT_RATE',
    isAbsent: hasLimit('client'),
  },
  connections: {
    risk: 'a client can open connections until none is left',
    remedy: 'set CLIENT_CONNECTIONS, or TRUSTED_PROXIES if a proxy limits them',
    isAbsent: ({ settings }) => (settings.CLIENT_CONNECTIONS ?? settings.TRUSTED_PROXIES) !== undefined,
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
    isAbsent: ({ access }) => access.servers.every((server) => isPrivateServer(server, access)),
  },
  upstreams: {
    risk: 'calls between services can be read and changed on the network',
    remedy: 'set https URLs, or keep the services on loopback',
    isAbsent: ({ originsOf }) =>
      serviceEntries.flatMap(originsOf).every((origin) => isLoopbackUrl(origin) || origin.startsWith('https:')),
  },
  database: {
    risk: 'the counts can be read and changed on the network',
    remedy: 'set sslmode=verify-full in DATABASE_URL, or keep Postgres on loopback',
    isAbsent: ({ settings: { DATABASE_URL = [] } }) =>
      DATABASE_URL.map((url) => new URL(url.reveal())).every(
        (url) => isLoopbackUrl(url) || url.searchParams.get('sslmode') === 'verify-full',
      ),
  },
  files: {
    risk: 'others on this machine can read files with views',
    remedy: 'run chmod -R go= on DATA_DIR',
    isAbsent: ({ settings }) => isPrivateDirectory(settings.DATA_DIR),
  },
}

/** With --public, returns a finding per line of the checklist. Otherwise, returns a summary without noisy checks. */
export async function checkPublic(system: Exposed): Promise<Finding[]> {
  const exposures = Object.entries(EXPOSURES).filter(([, { isNoisy = false }]) => system.isPublic || !isNoisy)
  const checking = exposures.map(async ([name, { risk, remedy, isAbsent }]) =>
    (await isAbsent(system)) ? ok(`${name}: not exposed`) : fail(`${name}: ${risk}: ${remedy}`),
  )
  const findings = await Promise.all(checking)
  if (await system.isNothingRunning) return []
  if (system.isPublic) return findings
  const count = findings.filter(({ severity }) => severity === 'FAIL').length
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
function hasLimit(limit: string) {
  const metric = `rate_limited_requests_total{limit="${limit}"}`
  return async function isLimited({ inspectedOf }: Exposed): Promise<boolean> {
    const plays = await inspectedOf(services.play)
    return plays.length > 0 && plays.every(({ metrics }) => metrics.includes(metric))
  }
}

/** Returns true if nobody on the network can log in to a NATS server, or read what is sent to it. */
function isPrivateServer(server: string, { ca, authenticate }: NatsAccess): boolean {
  const url = new URL(server.includes('://') ? server : `nats://${server}`)
  return isLoopbackUrl(url) || (authenticate !== undefined && (url.protocol === 'tls:' || ca !== undefined))
}
