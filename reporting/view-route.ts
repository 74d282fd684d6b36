import { Hono, type MiddlewareHandler } from 'hono'
import { toNullablePosition } from '../shared/contracts/position.ts'
import { ExplainedView, ViewNotFound, ViewParams } from '../shared/contracts/view-explanation.ts'
import type { AppEnv } from '../shared/http/app-env.ts'
import { describeOperation } from '../shared/http/openapi.ts'
import { validate } from '../shared/http/validate.ts'
import type { CountStore } from './count-store.ts'
import { summarize } from './summarize.ts'

type Deps = {
  counts: Pick<CountStore, 'explain' | 'position' | 'knownSince'>
  /** Responds 401 to requests that are not authorized to read data about users. */
  requireReader: MiddlewareHandler<AppEnv>
}

/** `GET /events/views/:viewId`: a view's outcome, and its explanation. */
export function createViewRoute({ counts, requireReader }: Deps) {
  return new Hono<AppEnv>().get(
    '/events/views/:viewId',
    describeOperation({
      operationId: 'explainView',
      summary: 'Explain what became of one view',
      description: 'While the counts are behind the log, a view is not found until it is counted',
      responses: { 200: ExplainedView, 404: ViewNotFound },
      problems: [400, 503],
      namesUsers: true,
    }),
    requireReader,
    validate('param', ViewParams),
    async (c) => {
      // Read the position first, so that it precedes any view that is counted between the two reads.
      const position = toNullablePosition(await counts.position())
      const explanation = await counts.explain(c.req.valid('param').viewId)
      if (explanation) return c.json({ ...explanation, summary: summarize(explanation) })
      const knownSince = (await counts.knownSince())?.toISOString() ?? null
      return c.json({ status: 'View not found', position, knownSince, requestId: c.get('requestId') }, 404)
    },
  )
}
