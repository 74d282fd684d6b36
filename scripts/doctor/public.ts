import { request } from 'undici'
import { type ServiceEntry, serviceEntries, services } from '../../services.ts'
import type { NatsAccess } from '../../shared/nats/credentials.ts'
import type { Secret } from '../../shared/runtime/secret.ts'
import { type Finding, fail, ok, plural } from './finding.ts'
import type { OperationsOf } from './operations.ts'
import { isPrivateDatabase, isPrivateDirectory, isPrivateServer, isPrivateUrl } from './privacy.ts'
import { probe } from './probe.ts'

const CHECK_NAME = 'public'
const TIMEOUT_MS = 2_000
/** A valid id that no asset or user has. */
const NOBODY = 'doctor-probe'

/** The system to check. */
export type Exposed = {
  /** The origins of all instances of a service. */
  originsOf: (service: ServiceEntry) => string[]
  operationsOf: OperationsOf
  nats: NatsAccess
  database: readonly Secret[] | undefined
  dataDir: string
  limitsConnections: boolean
  isBehindProxy: boolean
}

type Exposure = {
  name: string
  /** What the exposure lets strangers do. */
  risk: string
  /** How to remove the exposure. */
  remedy: string
  /** True if the check makes play log a warning, which an ordinary run of the doctor must not cause. */
  isNoisy?: boolean
  isAbsent: (system: Exposed) => boolean | Promise<boolean>
}

/** The checklist in docs/security.md. No check changes anything. */
const EXPOSURES: Exposure[] = [
  {
    name: 'identity',
    risk: 'anyone can play as anyone',
    remedy: 'set AUTH_JWKS_URL, AUTH_ISSUER and AUTH_AUDIENCE',
    isAbsent: ({ originsOf }) => everyInstance(originsOf(services.play), refusesStrangers),
  },
  {
    name: 'user-rate',
    risk: 'a user can play without limit',
    remedy: 'set PLAY_RATE',
    isAbsent: (system) => hasLimit(system, 'user'),
  },
  {
    name: 'client-rate',
    risk: 'a client can send requests without limit',
    remedy: 'set CLIENT_RATE',
    isAbsent: (system) => hasLimit(system, 'client'),
  },
  {
    name: 'connections',
    risk: 'a client can open connections until none is left',
    remedy: 'set CLIENT_CONNECTIONS, or TRUSTED_PROXIES if a proxy limits them',
    isAbsent: ({ limitsConnections, isBehindProxy }) => limitsConnections || isBehindProxy,
  },
  {
    name: 'operations',
    risk: 'the console, metrics and user ids in live counts are public',
    remedy: 'set OPS_PORT',
    isAbsent: ({ originsOf }) => everyInstance(originsOf(services.play), (play) => responds(404, `${play}/metrics`)),
  },
  {
    name: 'hosts',
    risk: 'play responds under any name',
    remedy: 'set ALLOWED_HOSTS',
    isNoisy: true,
    isAbsent: ({ originsOf }) =>
      everyInstance(originsOf(services.play), (play) =>
        responds(421, `${play}/catalogue`, { headers: { host: 'doctor.invalid' } }),
      ),
  },
  {
    name: 'reads',
    risk: 'anyone who can reach reporting can read the counts of each user',
    remedy: 'set READ_TOKEN',
    isAbsent: ({ originsOf }) =>
      everyInstance(originsOf(services.reporting), (url) => responds(401, `${url}/events/user/${NOBODY}`)),
  },
  {
    name: 'writes',
    risk: 'anyone who can reach the services can change the catalogue and the counts, and read dead letters',
    remedy: 'set WRITE_TOKEN',
    isAbsent: areWritesProtected,
  },
  {
    name: 'nats',
    risk: 'anyone who can reach NATS can read and write the log, or read the password on the network',
    remedy: 'set NATS_URL=tls://… with credentials, or keep NATS on loopback',
    isAbsent: ({ nats }) => nats.servers.every((server) => isPrivateServer(server, nats)),
  },
  {
    name: 'upstreams',
    risk: 'calls between services can be read and changed on the network',
    remedy: 'set https URLs, or keep the services on loopback',
    isAbsent: ({ originsOf }) => serviceEntries.flatMap(originsOf).every(isPrivateUrl),
  },
  {
    name: 'database',
    risk: 'the counts can be read and changed on the network',
    remedy: 'set sslmode=verify-full in DATABASE_URL, or keep Postgres on loopback',
    isAbsent: ({ database = [] }) => database.every((url) => isPrivateDatabase(new URL(url.reveal()))),
  },
  {
    name: 'files',
    risk: 'others on this machine can read files with views',
    remedy: 'run chmod -R go= on DATA_DIR',
    isAbsent: ({ dataDir }) => isPrivateDirectory(dataDir),
  },
]

/** If `isPublic`, returns one finding for each line of the checklist; otherwise, a summary of those without noise. */
export async function checkPublic(system: Exposed, isPublic: boolean): Promise<Finding[]> {
  const checked = await Promise.all(
    EXPOSURES.filter(({ isNoisy = false }) => isPublic || !isNoisy).map(async (exposure) => ({
      ...exposure,
      isAbsent: await exposure.isAbsent(system),
    })),
  )
  if (isPublic) {
    return checked.map(({ name, risk, remedy, isAbsent }) =>
      isAbsent ? ok(CHECK_NAME, `${name}: not exposed`) : fail(CHECK_NAME, `${name}: ${risk}: ${remedy}`),
    )
  }
  const exposures = checked.filter(({ isAbsent }) => !isAbsent).length
  if (exposures === 0)
    return [ok(CHECK_NAME, 'no exposure found; npm run doctor -- --public checks the host names too')]
  const count = plural(exposures, 'exposure')
  return [ok(CHECK_NAME, `not for the internet: ${count}, which npm run doctor -- --public lists`)]
}

/** False if there are no instances: an exposure that cannot be checked counts as present. */
async function everyInstance(origins: string[], check: (origin: string) => Promise<boolean>): Promise<boolean> {
  return origins.length > 0 && (await Promise.all(origins.map(check))).every(Boolean)
}

type Init = { method?: 'GET' | 'POST'; headers?: Record<string, string>; body?: string }

async function responds(status: number, url: string, init: Init = {}): Promise<boolean> {
  try {
    const { statusCode, body } = await request(url, { ...init, signal: AbortSignal.timeout(TIMEOUT_MS) })
    await body.dump()
    return statusCode === status
  } catch {
    return false
  }
}

/** Probes with a prefetch, which records no view even if play accepts it. */
function refusesStrangers(play: string): Promise<boolean> {
  const headers = { 'sec-purpose': 'prefetch' }
  return responds(401, `${play}/play/asset/${NOBODY}/user/${NOBODY}`, { method: 'POST', headers })
}

/** The metric is absent for a limit that is not set. */
function hasLimit({ originsOf, operationsOf }: Exposed, limit: string): Promise<boolean> {
  return everyInstance(originsOf(services.play), async (play) => {
    const { text } = await probe(operationsOf(play), '/metrics')
    return text.includes(`rate_limited_requests_total{limit="${limit}"}`)
  })
}

/** Sends invalid bodies, so that a service without a token writes nothing. */
async function areWritesProtected({ originsOf }: Exposed): Promise<boolean> {
  const post = { method: 'POST' as const, headers: { 'content-type': 'application/json' }, body: '{}' }
  const writes: [ServiceEntry, string, Init?][] = [
    [services.metadata, `/content/asset/${NOBODY}`, post],
    [services.cdnurl, `/url/asset/${NOBODY}`, post],
    [services.reporting, '/events', post],
    [services['queue-listener'], '/dead-letters?limit=1'],
  ]
  const refused = writes.map(([service, path, init]) =>
    everyInstance(originsOf(service), (origin) => responds(401, origin + path, init)),
  )
  return (await Promise.all(refused)).every(Boolean)
}
