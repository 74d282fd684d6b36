import { Hono } from 'hono'
import { CataloguePage } from '../../shared/contracts/catalogue-page.ts'
import { PageQuery } from '../../shared/contracts/page.ts'
import { SystemStatus } from '../../shared/contracts/system-status.ts'
import { admit } from '../../shared/http/admit.ts'
import type { AppEnv } from '../../shared/http/app-env.ts'
import { describe } from '../../shared/http/openapi.ts'
import { requestOf } from '../../shared/http/request-context.ts'
import { validate } from '../../shared/http/validate.ts'
import type { Catalogue } from './catalogue.ts'
import { createPage } from './page.ts'
import type { Status } from './status.ts'

/** Pages that may be put together at once: a thousand assets with long summaries take some 10 MB meanwhile. */
const MAX_PAGES_UNDER_WAY = 8

type Deps = { catalogue: Catalogue; status: Status }

/** The page at `/`, and what it asks of the edge besides plays and live counts. */
export function createConsole({ catalogue, status }: Deps) {
  return new Hono<AppEnv>()
    .route('/', createPage())
    .get(
      '/catalogue',
      describe({
        operationId: 'listCatalogue',
        summary: 'All assets by id, in pages, with their views',
        description: 'Views are null while reporting is away, which `degraded` then names',
        answers: { 200: CataloguePage },
        problems: [400, 503],
      }),
      admit(MAX_PAGES_UNDER_WAY, 'pages of the catalogue'),
      validate('query', PageQuery),
      async (c) => c.json(await catalogue(c.req.valid('query'), requestOf(c))),
    )
    .get(
      '/status',
      describe({
        operationId: 'getStatus',
        summary: 'How every part of the system is',
        answers: { 200: SystemStatus },
      }),
      async (c) => c.json(await status()),
    )
}
