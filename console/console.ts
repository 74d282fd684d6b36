import { type Context, Hono } from 'hono'
import { CataloguePage } from '../shared/contracts/catalogue-page.ts'
import { History, HistoryQuery } from '../shared/contracts/history.ts'
import { PageQuery } from '../shared/contracts/page.ts'
import { Series, SeriesQuery } from '../shared/contracts/series.ts'
import { SystemStatus } from '../shared/contracts/system-status.ts'
import type { AppEnv } from '../shared/http/app-env.ts'
import { problem } from '../shared/http/errors.ts'
import { limitConcurrency } from '../shared/http/limit-concurrency.ts'
import { limitUnread } from '../shared/http/limit-unread.ts'
import { describeOperation } from '../shared/http/openapi.ts'
import { requestContextOf } from '../shared/http/request-context.ts'
import { validate } from '../shared/http/validate.ts'
import { type ApiClients, createApiPage } from './api/api.ts'
import type { Catalogue } from './catalogue.ts'
import type { ControlsProxy } from './controls/proxy.ts'
import { createControlRoutes } from './controls/routes.ts'
import type { SystemHistory } from './history/history.ts'
import { createPage } from './page.ts'
import type { ReadSeries } from './series.ts'
import type { Status } from './status.ts'

/** Concurrency limit: a page of a thousand assets with long summaries takes about 10 MB of memory. */
const MAX_PAGES_IN_FLIGHT = 8
/** Limits the memory for slow clients: a page is at most 5 MB of JSON, and usually a tenth of that. */
const MAX_UNREAD_PAGES = 16
/** Concurrency limit: a series of 3,000 points is 0.2 MB of JSON. */
const MAX_SERIES_IN_FLIGHT = 50

type Deps = {
  catalogue: Catalogue
  readSeries: ReadSeries
  status: Status
  history: Pick<SystemHistory, 'read'>
  /** The clients for all services. The API page uses them to read the OpenAPI documents. */
  clients: ApiClients
  /** The origin of the CDN from which the page plays videos. */
  cdnOrigin?: string | undefined
  /** Forwards to the `npm start` supervisor; undefined if `npm start` did not start this process. */
  controls?: ControlsProxy | undefined
}

/** The page at `/`, and the API routes that only the page uses. */
export function createConsole({ catalogue, readSeries, status, history, clients, cdnOrigin, controls }: Deps) {
  return new Hono<AppEnv>()
    .route('/', createPage(cdnOrigin))
    .route('/', createApiPage(clients))
    .route('/', createControlRoutes(controls))
    .get(
      '/catalogue',
      describeOperation({
        operationId: 'listCatalogue',
        summary: 'List all assets with their counts, in pages sorted by id',
        description: 'While counts are unavailable, they are null and `degraded` is `["reporting"]`',
        responses: { 200: CataloguePage },
        problems: [400, 429, 503],
      }),
      limitUnread(MAX_UNREAD_PAGES),
      limitConcurrency(MAX_PAGES_IN_FLIGHT, 'catalogue pages'),
      validate('query', PageQuery),
      async (c) => c.json(await catalogue(c.req.valid('query'), requestContextOf(c))),
    )
    .get(
      '/series',
      describeOperation({
        operationId: 'getSeries',
        summary: 'Get the views over time',
        description: 'What reporting returns for `GET /events/series`, up to a second old',
        responses: { 200: Series },
        problems: [400, 429, 503],
      }),
      limitConcurrency(MAX_SERIES_IN_FLIGHT, 'series'),
      validate('query', SeriesQuery),
      async (c) => {
        const series = await readSeries(c.req.valid('query'))
        return 'points' in series ? sharedJson(c, series) : problem(c, 400, series.errors)
      },
    )
    .get(
      '/history',
      describeOperation({
        operationId: 'getHistory',
        summary: "Get the system's history: plays, errors, backlog, lag, outages and restarts",
        description:
          'The edge samples the system once a second, so the history is up to a second old. The history survives restarts of the edge',
        responses: { 200: History },
        problems: [400, 429],
      }),
      validate('query', HistoryQuery),
      async (c) => sharedJson(c, await history.read(c.req.valid('query').range)),
    )
    .get(
      '/status',
      describeOperation({
        operationId: 'getStatus',
        summary: 'Get the state of every component in the system',
        responses: { 200: SystemStatus },
        problems: [429],
      }),
      async (c) => sharedJson(c, await status()),
    )
}

const texts = new WeakMap<object, string>()

/** Responds with a value that many requests share. The value is serialized only once, so it must not change later. */
function sharedJson(c: Context, value: object) {
  const text = texts.get(value) ?? JSON.stringify(value)
  texts.set(value, text)
  return c.body(text, 200, { 'content-type': 'application/json' })
}
