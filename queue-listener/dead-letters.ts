import { type Context, Hono } from 'hono'
import { resolver } from 'hono-openapi'
import { z } from 'zod'
import {
  DeadLetterContent,
  DeadLetterNotFound,
  DeadLetterPage,
  DeadLetterParams,
  DeadLetterQuery,
  DeadLetterReplayed,
  DeadLetterResolved,
} from '../shared/contracts/dead-letter.ts'
import { Done } from '../shared/contracts/status.ts'
import { MAX_VIEWS_PER_BATCH } from '../shared/contracts/view.ts'
import type { DeadLetters, Resolved } from '../shared/event-log/event-log.ts'
import { ViewEvent, WatchEvent } from '../shared/event-log/view-events.ts'
import type { AppEnv } from '../shared/http/app-env.ts'
import { problem } from '../shared/http/errors.ts'
import { limitConcurrency } from '../shared/http/limit-concurrency.ts'
import { BODY_PROBLEMS, describeOperation } from '../shared/http/openapi.ts'
import { BATCH_BODY, hasBody, optionalJsonBody, readBody, validate } from '../shared/http/validate.ts'
import { requireWriteToken, type WriteToken } from '../shared/http/write-token.ts'

/**
 * Limits memory use and queueing: each request holds the bodies of a dead letter and its correction in memory, and the
 * requests read the log one at a time.
 */
const MAX_REQUESTS = 8

const letter = '/dead-letters/:sequence'

type Options = {
  deadLetters: DeadLetters
  /**
   * The token that all routes require, even for reading, because dead letters contain user ids. If undefined, the
   * routes are open.
   */
  writeToken: WriteToken | undefined
}

/** The routes that list, repair, replay and delete the log's dead letters. */
export function createDeadLetterRoutes({ deadLetters, writeToken }: Options) {
  const requireToken = requireWriteToken(writeToken)
  const limitRequests = limitConcurrency(MAX_REQUESTS, 'requests for dead letters')
  return new Hono<AppEnv>()
    .get(
      '/dead-letters',
      describeOperation({
        operationId: 'listDeadLetters',
        summary: 'List the dead letters that are neither replayed nor deleted, by sequence, in pages',
        responses: { 200: DeadLetterPage },
        problems: [400, 503],
        isWrite: true,
      }),
      requireToken,
      validate('query', DeadLetterQuery),
      limitRequests,
      async (c) => c.json(await deadLetters.list(c.req.valid('query'))),
    )
    .get(
      letter,
      describeOperation({
        operationId: 'getDeadLetter',
        summary: 'Get a dead letter with its headers and body',
        responses: { 200: DeadLetterContent, 404: DeadLetterNotFound },
        problems: [400, 503],
        isWrite: true,
      }),
      requireToken,
      validate('param', DeadLetterParams),
      limitRequests,
      async (c) => {
        const { sequence } = c.req.valid('param')
        const found = await deadLetters.get(sequence)
        return found ? c.json({ ...found, ...toText(found.body) }) : notFound(c, sequence)
      },
    )
    .post(
      `${letter}/replay`,
      describeOperation({
        operationId: 'replayDeadLetter',
        summary: "Append a dead letter's views to the log, once",
        description,
        requestBody: { required: false, content: { 'application/json': { schema: resolver(CorrectedViews) } } },
        responses: { 200: DeadLetterReplayed, 404: DeadLetterNotFound, 409: DeadLetterResolved },
        problems: [...BODY_PROBLEMS, 503],
        isWrite: true,
      }),
      requireToken,
      validate('param', DeadLetterParams),
      optionalJsonBody(BATCH_BODY),
      limitRequests,
      async (c) => {
        const { sequence } = c.req.valid('param')
        const resolved = await deadLetters.replay(sequence, hasBody(c) ? await readBody(c) : undefined)
        if (resolved.outcome !== 'resolved') return refuse(c, sequence, resolved)
        return c.json({ status: 'ok', sequence: resolved.sequence, views: resolved.views })
      },
    )
    .delete(
      letter,
      describeOperation({
        operationId: 'deleteDeadLetter',
        summary: 'Delete a dead letter, so that its views are never counted',
        responses: { 200: Done, 404: DeadLetterNotFound, 409: DeadLetterResolved },
        problems: [400, 503],
        isWrite: true,
      }),
      requireToken,
      validate('param', DeadLetterParams),
      limitRequests,
      async (c) => {
        const { sequence } = c.req.valid('param')
        const resolved = await deadLetters.delete(sequence)
        return resolved.outcome === 'resolved' ? c.json({ status: 'ok' }) : refuse(c, sequence, resolved)
      },
    )
}

const description = `Without a body, the original message is validated again and replayed: it may have been refused for a \
reason that has since been fixed. With a body, the events in the body are replayed instead: an array of CloudEvents, or \
a single one, of at most ${BATCH_BODY.toLocaleString('en')} bytes. They keep the ids of the original events; events may be \
left out, but none may be added. \`source\` and \`serial\` are replaced.

A dead letter can be replayed or deleted only once. The request is safe to repeat, for example after a 503, which \
leaves the outcome unknown.`

/** The attributes that a replay does not replace. */
const KEPT = { specversion: true, id: true, type: true, time: true, data: true } as const
const CorrectedEvent = z.union([ViewEvent.pick(KEPT), WatchEvent.pick(KEPT)])

/** For documentation only: the log itself validates a replay's body, as strictly as any other message. */
export const CorrectedViews = z.union([z.array(CorrectedEvent).min(1).max(MAX_VIEWS_PER_BATCH), CorrectedEvent]).meta({
  id: 'CorrectedViews',
  examples: [[{ specversion: '1.0', id: 'a', type: 'video.viewed', data: { assetId: '456', userId: '8' } }]],
})

function refuse(c: Context<AppEnv>, sequence: number, refusal: Exclude<Resolved, { outcome: 'resolved' }>) {
  if (refusal.outcome === 'not found') return notFound(c, sequence)
  if (refusal.outcome === 'invalid') return problem(c, 400, [{ path: '', message: refusal.reason }])
  const { action, at } = refusal.resolution
  const body: DeadLetterResolved = {
    sequence,
    status: `Dead letter already ${action}`,
    at,
    requestId: c.get('requestId'),
  }
  return c.json(body, 409)
}

function notFound(c: Context<AppEnv>, sequence: number) {
  const body: DeadLetterNotFound = { sequence, status: 'Dead letter not found', requestId: c.get('requestId') }
  return c.json(body, 404)
}

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** Returns the body as text if it is valid UTF-8, and as base64 otherwise. Both preserve every byte. */
function toText(body: Uint8Array | undefined): Pick<DeadLetterContent, 'body' | 'encoding'> {
  try {
    return { body: body && decoder.decode(body), encoding: 'utf-8' }
  } catch {
    return { body: body && Buffer.from(body).toString('base64'), encoding: 'base64' }
  }
}
