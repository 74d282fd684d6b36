import { join } from 'node:path'
import { Registry } from 'prom-client'
import type { CountStore } from '../../reporting/count-store.ts'
import { unlimited } from '../../reporting/maps/capacity.ts'
import { CHECKPOINT, toCheckpointPath } from '../../reporting/maps/checkpoint-file.ts'
import { openMapCountStore } from '../../reporting/maps/open-map-store.ts'
import { openPostgresCountStore } from '../../reporting/postgres/postgres-count-store.ts'
import type { RulesVersion } from '../../reporting/rules/rule-sets.ts'
import { Audit } from '../../shared/contracts/audit.ts'
import { fromNullablePosition } from '../../shared/contracts/position.ts'
import { createJetStreamEventLog } from '../../shared/event-log/jetstream-event-log.ts'
import { openNatsLink } from '../../shared/nats/link.ts'
import { createLog, type Logger } from '../../shared/runtime/log.ts'
import { MAX_REASON, toLine } from '../../shared/runtime/printable.ts'
import { retry } from '../../shared/runtime/retry.ts'
import { StartError } from '../../shared/service/service.ts'
import { probe } from '../http.ts'
import { logUnavailable } from '../log-unavailable.ts'
import { toComparison } from './comparison.ts'
import type { Databases } from './copy.ts'
import { countLog } from './count-log.ts'
import { CountsError, findReporting, type Target } from './system.ts'

const CONNECT_TIMEOUT_MS = 2_000
const LOAD_TIMEOUT_MS = 60_000
const DATABASE_TIMEOUT_MS = 5_000
/** How often to write a checkpoint while counting. A checkpoint is also written at the end. */
const CHECKPOINT_EVERY_MS = 60_000
const CONNECTIONS = 2

/**
 * Counts the log under other view rules into a separate store, up to the position that reporting has reached. Then
 * prints how the numbers differ. The next recount continues where the last one stopped.
 * @throws CountsError
 */
export async function recount(target: Target & Databases, rules: RulesVersion): Promise<number> {
  const { origin, counting } = await findReporting(target)
  // `copy` leaves counts under the same rules in DATA_DIR, so that users can go back to them. Do not replace those.
  if (counting?.rules === rules) throw new CountsError(`reporting already uses the view rules ${rules}`)
  const log = createLog({ name: 'counts', level: 'silent' })
  await using stack = new AsyncDisposableStack()
  const nats = stack.use(openNatsLink({ ...target.nats, name: 'counts', log }))
  await nats.up(AbortSignal.timeout(CONNECT_TIMEOUT_MS)).catch(() => {
    throw new CountsError(logUnavailable(target.nats.servers))
  })
  const eventLog = stack.use(createJetStreamEventLog({ nats, log }))
  const store = await openStore(target, { rules, log, resources: stack })
  await countLog(eventLog, store, positionOf(await readAudit(origin)))
  // The log has grown in the meantime. Count the rest, so that old and new counts are compared at the same position.
  const audit = await readAudit(origin)
  await countLog(eventLog, store, positionOf(audit))
  process.stdout.write(toComparison(audit, await store.audit(), { rules, isInPostgres: target.urls !== undefined }))
  return 0
}

const positionOf = ({ position }: Audit) => fromNullablePosition(position)

type Resources = { rules: RulesVersion; log: Logger; resources: AsyncDisposableStack }

async function openStore(databases: Databases, { rules, log, resources }: Resources): Promise<CountStore> {
  const { urls, dataDir, kept, verdictsMaxAgeMs } = databases
  if (urls) {
    const options = { urls, maxConnections: CONNECTIONS, log, rules, maxKeys: kept.keys, verdictsMaxAgeMs }
    const store = resources.use(openPostgresCountStore(options))
    if (await isUpWithin(DATABASE_TIMEOUT_MS, store)) return store
    throw new CountsError(`DATABASE_URL cannot be used: ${toLine(store.reason() ?? 'no response', MAX_REASON)}`)
  }
  const path = toCheckpointPath(join(dataDir, CHECKPOINT), rules)
  const metrics = new Registry()
  const options = { path, everyMs: CHECKPOINT_EVERY_MS, capacity: unlimited, kept, rules, onReport: () => {} }
  const store = await openMapCountStore({ ...options, log, metrics, resources }).catch((error) => {
    if (!(error instanceof StartError)) throw error
    throw new CountsError(`cannot write ${path}.bin: ${error.message}`)
  })
  if (await isUpWithin(LOAD_TIMEOUT_MS, store)) return store
  throw new CountsError(`${path}.bin took too long to load`)
}

/** Waits for the store to connect and load its counts. Returns false if this takes longer than `ms`. */
async function isUpWithin(ms: number, store: CountStore): Promise<boolean> {
  const isUp = () => store.position().then(() => true)
  return (await retry(isUp, { signal: AbortSignal.timeout(ms) })) ?? false
}

async function readAudit(origin: string): Promise<Audit> {
  const audit = Audit.safeParse((await probe(`${origin}/events/audit`)).json)
  if (!audit.success) throw new CountsError(`reporting at ${origin} returned no valid audit`)
  return audit.data
}
