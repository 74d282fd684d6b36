import { type Context, Hono, type MiddlewareHandler } from 'hono'
import { accepts } from 'hono/accepts'
import { CountsBehind } from '../shared/contracts/counting.ts'
import { MAX_POINTS, Series, SeriesQuery } from '../shared/contracts/series.ts'
import type { AppEnv } from '../shared/http/app-env.ts'
import { problem } from '../shared/http/errors.ts'
import { describeOperation } from '../shared/http/openapi.ts'
import { validate } from '../shared/http/validate.ts'
import type { CountStore } from './count-store.ts'
import { toCsv, toRange, toSeries } from './series.ts'

const JSON_TYPE = 'application/json'
const CSV_TYPE = 'text/csv'

type Deps = {
  counts: Pick<CountStore, 'series'>
  /** Responds 503 while the counts are behind the log. */
  requireCurrent: MiddlewareHandler<AppEnv>
}

/** `GET /events/series`: the views over time. */
export function createSeriesRoute({ counts, requireCurrent }: Deps) {
  return new Hono<AppEnv>().get(
    '/events/series',
    describeOperation({
      operationId: 'getSeries',
      summary: 'Get the views over time',
      description: `Returns a point for each step that starts in the half-open interval [from, to), at most ${MAX_POINTS.toLocaleString('en')} points. Each view belongs to the step in which it was played, however late it was counted. Minutes are kept for 48 hours, and only for all assets together; hours are kept for 35 days, and days forever`,
      responses: { 200: [Series, { type: CSV_TYPE, example: toCsv(EXAMPLE) }] },
      problems: [400, 503],
      problemSchemas: { 503: CountsBehind },
    }),
    validate('query', SeriesQuery),
    requireCurrent,
    async (c) => {
      const range = toRange(c.req.valid('query'), Date.now())
      if ('message' in range) return problem(c, 400, [range])
      const series = toSeries(range, await counts.series(range))
      c.header('vary', 'accept')
      return wantsCsv(c) ? c.body(toCsv(series), 200, { 'content-type': `${CSV_TYPE}; charset=utf-8` }) : c.json(series)
    },
  )
}

const EXAMPLE = { points: [{ at: '2026-11-20T21:00:00.000Z', views: 3, qualified: 2 }] }

function wantsCsv(c: Context): boolean {
  return accepts(c, { header: 'Accept', supports: [JSON_TYPE, CSV_TYPE], default: JSON_TYPE }) === CSV_TYPE
}
