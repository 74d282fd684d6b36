import { Hono } from 'hono'
import { CataloguePage } from '../shared/contracts/catalogue-page.ts'
import { PageQuery } from '../shared/contracts/page.ts'
import { Series, SeriesQuery } from '../shared/contracts/series.ts'
import { SystemStatus } from '../shared/contracts/system-status.ts'
import type { AppEnv } from '../shared/http/app-env.ts'
import { problem } from '../shared/http/errors.ts'
import { limitConcurrency } from '../shared/http/limit-concurrency.ts'
import { describeOperation } from '../shared/http/openapi.ts'
import { requestContextOf } from '../shared/http/request-context.ts'
import { validate } from '../shared/http/validate.ts'
import type { Catalogue } from './catalogue.ts'
import { createPage } from './page.ts'
import type { ReadSeries } from './series.ts'
import type { Status } from './status.ts'

/** Concurrency limit: a page of a thousand assets with long summaries takes about 10 MB of memory. */
const MAX_PAGES_IN_FLIGHT = 8
/** Concurrency limit: a series of 3,000 points is 0.2 MB of JSON. */
const MAX_SERIES_IN_FLIGHT = 50

type Deps = {
  catalogue: Catalogue
  readSeries: ReadSeries
  status: Status
  /** The origin of the CDN, whose videos the page plays. */
  cdnOrigin?: string | undefined
}

/** The page at `/`, and the API routes that only the page uses. */
export function createConsole({ catalogue, readSeries, status, cdnOrigin }: Deps) {
  return new Hono<AppEnv>()
    .route('/', createPage(cdnOrigin))
    .get(
      '/catalogue',
      describeOperation({
        operationId: 'listCatalogue',
        summary: 'List all assets with their counts, by id, in pages',
        description: 'While counts are unavailable, they are null and `degraded` is `["reporting"]`',
        responses: { 200: CataloguePage },
        problems: [400, 429, 503],
      }),
      limitConcurrency(MAX_PAGES_IN_FLIGHT, 'catalogue pages'),
      validate('query', PageQuery),
      async (c) => c.json(await catalogue(c.req.valid('query'), requestContextOf(c))),
    )
    .get(
      '/series',
      describeOperation({
        operationId: 'getSeries',
        summary: 'Get the views over time',
        description: 'The `GET /events/series` of reporting, up to a second old',
        responses: { 200: Series },
        problems: [400, 429, 503],
      }),
      limitConcurrency(MAX_SERIES_IN_FLIGHT, 'series'),
      validate('query', SeriesQuery),
      async (c) => {
        const series = await readSeries(c.req.valid('query'))
        return 'points' in series ? c.json(series) : problem(c, 400, series.errors)
      },
    )
    .get(
      '/status',
      describeOperation({
        operationId: 'getStatus',
        summary: 'Get the state of every component of the system',
        responses: { 200: SystemStatus },
        problems: [429],
      }),
      async (c) => c.json(await status()),
    )
}
