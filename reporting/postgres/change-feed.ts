import { z } from 'zod'
import {
  LIVE_SECONDS,
  LIVE_TOP,
  LiveChanges,
  type LiveEvent,
  LiveSnapshot,
  MAX_LIVE_IDS,
} from '../../shared/contracts/live.ts'
import type { LiveSource } from '../../shared/live/live-feed.ts'
import { createThrottle } from '../../shared/runtime/throttle.ts'
import type { CountedBy } from '../count-store.ts'
import type { Run } from './database.ts'
import { toLiteral } from './literals.ts'
import { countColumns, toTopQuery } from './top.ts'

/** Minimum interval between two events. */
const MIN_INTERVAL_MS = 250
const TIMEOUT_MS = 1_000

type Publish = (event: LiveEvent) => void

type ChangeFeed = {
  follow: LiveSource
  /** Receives the latest version of the counts and, if known, when the database recorded it. */
  advance(version: number, changedAt?: string): void
}

/** Publishes a snapshot of the counts, and then the changes that the database records. */
export function createChangeFeed(run: Run): ChangeFeed {
  let follower: ReturnType<typeof createFollower> | undefined
  return {
    advance: (version, changedAt) => follower?.advance(version, changedAt),
    follow(publish) {
      const current = createFollower(run, publish)
      follower = current
      return () => {
        current.stop()
        if (follower === current) follower = undefined
      }
    },
  }
}

function createFollower(run: Run, publish: Publish) {
  const throttle = createThrottle(() => void pull(), MIN_INTERVAL_MS)
  /** Undefined before the first snapshot. */
  let published: Read | undefined
  let isPulling = false
  let isStopped = false

  async function pull(): Promise<void> {
    if (isPulling) return
    isPulling = true
    try {
      const next = (published && (await readChanges(run, published))) || (await readSnapshot(run))
      if (isStopped) return
      published = next
      publish(next.event)
    } catch {
      // Ignore the error: the next successful poll of the state requests another pull.
    } finally {
      isPulling = false
    }
  }

  throttle.request()
  return {
    advance(version: number, changedAt?: string) {
      if (version === published?.version && (changedAt ?? published.changedAt) === published.changedAt) return
      // After a failover or a restore, the version may be lower or have a different time: start over with a snapshot.
      if (published && version <= published.version) published = undefined
      throttle.request()
    },
    stop() {
      isStopped = true
      throttle.cancel()
    },
  }
}

type Read = { version: number; changedAt: string; seconds: Record<string, number>; event: LiveEvent }

const SnapshotRow = z.tuple([z.coerce.number(), z.string(), LiveSnapshot])
const ChangesRow = z.tuple([z.coerce.number(), z.string(), LiveChanges.nullable()])

/** When the current version was recorded. Versions may repeat after a failover that loses commits; times do not. */
export const CHANGED_AT = `coalesce((select extract(epoch from at)::text from reporting.change
  where version = reporting.state.version), '')`

async function readSnapshot(run: Run): Promise<Read> {
  const list = (by: CountedBy) =>
    `(select coalesce(json_agg(top), '[]') from (${toTopQuery({ by, of: 'views' }, LIVE_TOP)}) as top)`
  const [row] = await run(
    `select version, ${CHANGED_AT}, json_build_object('views', views, 'qualified', qualified, 'top',
      json_build_object('assets', ${list('asset')}, 'users', ${list('user')}), 'seconds', ${secondsQuery()})
    from reporting.state`,
    TIMEOUT_MS,
  )
  const [version, changedAt, data] = SnapshotRow.parse(row)
  return { version, changedAt, seconds: data.seconds, event: { event: 'snapshot', data } }
}

/** @returns undefined if too many ids have changed, or the database lacks the published version or a later change */
async function readChanges(run: Run, published: Read): Promise<Read | undefined> {
  const { version: publishedVersion, seconds: before } = published
  const current = (by: CountedBy) =>
    `${by}_current as materialized (
    select id, ${countColumns(by)} from reporting.${by}_views join changed_${by} using (id) where (select is_complete from complete))`
  const counts = (by: CountedBy, column: string) =>
    `(select coalesce(json_object_agg(id, ${column}), '{}') from ${by}_current)`
  const [row] = await run(
    `with recent as materialized (select assets, users from reporting.change where version > ${publishedVersion}),
      changed_asset as materialized (select distinct unnest(assets) as id from recent),
      changed_user as materialized (select distinct unnest(users) as id from recent),
      complete as materialized (select ${toRecorded(published)}
        and (select count(*) from recent where assets is not null) = version - ${publishedVersion}
        and (select count(*) from changed_asset) + (select count(*) from changed_user) <= ${MAX_LIVE_IDS}
        as is_complete from reporting.state),
      ${current('asset')},
      ${current('user')}
    select version, ${CHANGED_AT}, case when (select is_complete from complete)
      then json_build_object('views', views, 'assets', ${counts('asset', 'views')}, 'users', ${counts('user', 'views')},
        'qualified', json_build_object('total', qualified,
          'assets', ${counts('asset', 'qualified')}, 'users', ${counts('user', 'qualified')}),
        'viewers', ${counts('asset', 'viewers')}, 'seconds', ${secondsQuery()}) end
    from reporting.state`,
    TIMEOUT_MS,
  )
  const [version, changedAt, data] = ChangesRow.parse(row)
  if (!data) return undefined
  const changed = Object.entries(data.seconds).filter(([second, views]) => before[second] !== views)
  return {
    version,
    changedAt,
    seconds: data.seconds,
    event: { event: 'changes', data: { ...data, seconds: Object.fromEntries(changed) } },
  }
}

/** An SQL condition: the database still has this version, unchanged, so later changes can build on it. */
function toRecorded({ version, changedAt }: Read): string {
  const at = `(select extract(epoch from at)::text from reporting.change where version = ${version})`
  return changedAt === '' ? 'true' : `${at} is not distinct from ${toLiteral(changedAt)}`
}

function secondsQuery(): string {
  const start = Math.floor(Date.now() / 1_000) - LIVE_SECONDS
  return `(select coalesce(json_object_agg(second, views), '{}') from reporting.recent_second where second > ${start})`
}
