import { describeRoute, resolver } from 'hono-openapi'
import type { z } from 'zod'
import { Problem } from '../contracts/status.ts'

type Description = {
  summary: string
  /** Answers of this route's own, by status. */
  answers: Record<number, z.ZodType>
  /** Statuses that are answered with a Problem. */
  problems?: number[]
  /** The content type of the answers; JSON where it is not said. */
  type?: string
  /** Whether it needs the write token, where there is one. */
  isWrite?: boolean
}

const meanings: Record<number, string> = {
  200: 'Done',
  400: 'The request is invalid; each bad field is named',
  401: 'The write token is missing or wrong',
  404: 'There is no such thing',
  409: 'The state does not allow it',
  411: 'The request has no content-length',
  413: 'The body is too large',
  415: 'The body is not JSON',
  503: 'Not now; retry-after says when',
}

/** The name of the write token in OpenAPI documents. */
export const WRITE_TOKEN_SCHEME = 'writeToken'

/** What a JSON body can get wrong. */
export const BODY_PROBLEMS = [400, 411, 413, 415]

/** A route's part of the OpenAPI document. */
export function describe({ summary, answers, problems = [], type = 'application/json', isWrite = false }: Description) {
  const refusals = isWrite ? [401, ...problems] : problems
  const contents: Record<number, [type: string, schema: z.ZodType]> = {
    ...Object.fromEntries(refusals.map((status) => [status, ['application/json', Problem]])),
    ...Object.fromEntries(Object.entries(answers).map(([status, schema]) => [status, [type, schema]])),
  }
  return describeRoute({
    summary,
    ...(isWrite && { security: [{ [WRITE_TOKEN_SCHEME]: [] }, {}] }),
    responses: Object.fromEntries(
      Object.entries(contents).map(([status, [type, schema]]) => [
        status,
        {
          description: meanings[Number(status)] ?? '',
          content: { [type]: { schema: resolver(schema) } },
        },
      ]),
    ),
  })
}
