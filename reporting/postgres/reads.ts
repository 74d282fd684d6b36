import { z } from 'zod'
import { toNullablePosition } from '../../shared/contracts/position.ts'
import type { CountLookup, Counts, LookedUpCounts } from '../../shared/contracts/view-counts.ts'
import type { CountedBy, CountStore } from '../count-store.ts'
import { type RulesVersion, watchRuleOf } from '../rules/rule-sets.ts'
import type { Rows } from './database.ts'
import { toExplanation, toExplanationQueries, toTime } from './explanations.ts'
import { toKeyedKey } from './keyed-views.ts'
import { toLost, toProducerKey } from './known.ts'
import { toIdArray, toLiteral } from './literals.ts'
import { toSeriesCounts, toSeriesQuery } from './series.ts'
import { parsePosition, STATE_COLUMNS, toState } from './state.ts'
import { countColumns, toTopQuery } from './top.ts'

type Reads = Pick<
  CountStore,
  | 'counts'
  | 'lookUp'
  | 'listViews'
  | 'top'
  | 'size'
  | 'position'
  | 'lost'
  | 'explain'
  | 'knownSince'
  | 'audit'
  | 'series'
>

/** Reads the counts. Each read is a single statement, and so sees a single snapshot. */
export function createReads(read: (query: string) => Promise<Rows>, rules: RulesVersion): Reads {
  const hasWatch = watchRuleOf(rules) !== undefined

  return {
    async counts(by, id) {
      const [row] = await read(`select ${countColumns(by)} from reporting.${by}_views where id = ${toLiteral(id)}`)
      return row && toCounts(row)
    },
    async lookUp(ids) {
      return toLookedUp(ids, await read(toLookup(ids)))
    },
    async listViews(ids, producer) {
      const found = toFound(await read(toLookup(ids, producer)))
      const [serial] = found.producer.values()
      const viewsOf = (by: CountedBy) => (id: string) => Number(found[by].get(id)?.[0] ?? 0)
      return {
        assets: ids.assets.map(viewsOf('asset')),
        users: ids.users.map(viewsOf('user')),
        ...(ids.events && { events: toEvents(found, ids.events) }),
        ...(serial && { serial: Number(serial[0]) }),
      }
    },
    async top(by, of, limit) {
      const rows = await read(toTopQuery({ by, of }, limit))
      return rows.map(([id, ...counts]) => ({ id: String(id), ...toCounts(counts) }))
    },
    async size(by) {
      const [[ids] = []] = await read(`select ids from reporting.size where by = '${by}'`)
      return Number(ids ?? 0)
    },
    async position() {
      const [row = []] = await read(`select ${STATE_COLUMNS} from reporting.state`)
      return toState(row).position
    },
    async lost() {
      const [[views, gaps] = []] = await read('select lost_views, gaps from reporting.state')
      return toLost(Number(views), String(gaps))
    },
    async explain(id) {
      for (const query of toExplanationQueries(id)) {
        const [row] = await read(query)
        if (row) return toExplanation(id, row, rules)
      }
      return undefined
    },
    async knownSince() {
      const [[since] = []] = await read('select min(since) from reporting.verdict_day')
      return since === null ? undefined : new Date(Number(since))
    },
    async audit() {
      const [row] = await read(AUDIT)
      return toAudit(row)
    },
    async series(range) {
      return toSeriesCounts(range, await read(toSeriesQuery(range, hasWatch)), hasWatch)
    },
  }
}

function toCounts([views, qualified, viewers]: readonly unknown[]): Counts {
  const counts = { views: Number(views), qualified: Number(qualified) }
  return viewers === undefined ? counts : { ...counts, viewers: Number(viewers) }
}

/** The column `views` contains the time in an event's row, and the last serial in a producer's. */
function toLookup({ assets, users, events = [] }: CountLookup, producer?: string): string {
  const keys = toIdArray(events.map(toKeyedKey))
  return [
    `select 'asset', id, views, qualified, viewers, null, null from reporting.asset_views where id = any(${toIdArray(assets)})`,
    `select 'user', id, views, qualified, 0, null, null from reporting.user_views where id = any(${toIdArray(users)})`,
    ...(events.length > 0
      ? [`select 'event', key, at, 0, 0, asset_id, user_id from reporting.keyed_view where key = any(${keys})`]
      : []),
    ...(producer === undefined
      ? []
      : [
          `select 'producer', key, serial, 0, 0, null, null from reporting.producer where key = ${toLiteral(toProducerKey(producer))}`,
        ]),
  ].join(' union all ')
}

/** Indexes a lookup's rows by kind and id. */
function toFound(rows: Rows) {
  const of = (kind: string) => new Map(rows.flatMap(([own, id, ...row]) => (own === kind ? [[String(id), row]] : [])))
  return { asset: of('asset'), user: of('user'), event: of('event'), producer: of('producer') }
}

function toLookedUp({ assets, users, events, details }: CountLookup, rows: Rows): LookedUpCounts {
  const found = toFound(rows)
  const numbers = (by: CountedBy, ids: readonly string[], column: number) =>
    Object.fromEntries(ids.map((id) => [id, Number(found[by].get(id)?.[column] ?? 0)]))
  return {
    assets: numbers('asset', assets, 0),
    users: numbers('user', users, 0),
    ...(details && {
      qualified: { assets: numbers('asset', assets, 1), users: numbers('user', users, 1) },
      viewers: numbers('asset', assets, 2),
    }),
    ...(events && { events: toEvents(found, events) }),
  }
}

function toEvents({ event }: ReturnType<typeof toFound>, ids: readonly string[]): LookedUpCounts['events'] {
  const found = ids.flatMap((id) => {
    const [at, , , assetId, userId] = event.get(toKeyedKey(id)) ?? []
    return at === undefined ? [] : [[id, { assetId: String(assetId), userId: String(userId), at: toTime(Number(at)) }]]
  })
  return Object.fromEntries(found)
}

const AUDIT = `select views, qualified, direct, retried, rejected, incarnation, sequence,
  (select coalesce(json_object_agg(reason, not_qualified.views), '{}') from reporting.not_qualified) from reporting.state`

const bigint = z.coerce.number()
const AuditRow = z.tuple([
  bigint,
  bigint,
  bigint,
  bigint,
  bigint,
  z.string().nullable(),
  bigint.nullable(),
  z.record(z.string(), z.number()),
])

function toAudit(row: unknown): Awaited<ReturnType<CountStore['audit']>> {
  const [views, qualified, direct, retried, rejected, incarnation, sequence, notQualified] = AuditRow.parse(row)
  const judged = Object.values(notQualified).reduce((sum, count) => sum + count, qualified)
  const position = toNullablePosition(parsePosition(incarnation, sequence))
  // Views counted by a release without view rules have no verdict, so they are pending.
  return { views, qualified, pending: views - judged - direct, notQualified, direct, retried, rejected, position }
}
