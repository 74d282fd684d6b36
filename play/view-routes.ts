import { randomUUID } from 'node:crypto'
import { type Context, Hono } from 'hono'
import { ExplainedView, ViewNotFound, ViewParams } from '../shared/contracts/view-explanation.ts'
import { limitConcurrency } from '../shared/http/limit-concurrency.ts'
import { describeOperation } from '../shared/http/openapi.ts'
import { requestContextOf } from '../shared/http/request-context.ts'
import { validate } from '../shared/http/validate.ts'
import type { RequestContext } from '../shared/tracing/tracing.ts'
import type { Identity } from './identity/identity.ts'
import type { PlayEnv, Viewer } from './play-env.ts'
import type { ViewExplainer } from './view-explainer.ts'

const PATH = '/views/:viewId'

/** Bounds the explanations in flight, because each of them may read the log. */
const MAX_EXPLAINED = 20

export type ViewDeps = {
  explain: ViewExplainer
  /** If set, explanations require the viewer's token, or READ_TOKEN. */
  identity?: Identity | undefined
  /** Returns true if the response may reveal a user id only to that user. */
  hidesUsers: (c: Context<PlayEnv>) => boolean
}

/** `GET /views/:viewId`: what became of a view. */
export function createViewRoutes({ explain, identity, hidesUsers }: ViewDeps) {
  /** Users see only their own views. For any other view, explains a random id, as if the view did not exist. */
  async function explainTo(viewer: Viewer | undefined, viewId: string, request: RequestContext) {
    const explained = await explain(viewId, request)
    const isForeign = viewer && 'state' in explained && explained.userId !== viewer.id
    return isForeign ? explain(randomUUID(), request) : explained
  }

  // `on` with a list of paths takes zero or more handlers; `get` needs at least one, and `use` runs for every method.
  return new Hono<PlayEnv>().on('GET', [PATH], ...(identity ? [identity.authenticateReader] : [])).get(
    PATH,
    describeOperation({
      operationId: 'explainView',
      summary: 'Explain what became of one view',
      description: 'Also finds views that are in an outbox, or in the log but not counted yet',
      responses: { 200: ExplainedView, 404: ViewNotFound },
      problems: [400, ...(identity ? [403] : []), 429, 503],
      ...(identity && { security: identity.readers }),
    }),
    limitConcurrency(MAX_EXPLAINED, 'explanations'),
    validate('param', ViewParams),
    async (c) => {
      const request = requestContextOf(c)
      const explained = await explainTo(c.get('viewer'), c.req.valid('param').viewId, request)
      // With identity, only operators and the view's user reach this line.
      if ('state' in explained) return c.json(!identity && hidesUsers(c) ? { ...explained, userId: null } : explained)
      return c.json({ ...explained, requestId: request.requestId }, 404)
    },
  )
}
