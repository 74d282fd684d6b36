import { describeRoute, resolver } from 'hono-openapi'
import type { z } from 'zod'
import { Problem } from '../contracts/status.ts'

type Description = {
  summary: string
  /** Answers of this route's own, by status. */
  answers: Record<number, z.ZodType>
  /** Statuses that are answered with a Problem. */
  problems?: number[]
}

const meanings: Record<number, string> = {
  200: 'Done',
  400: 'The request is invalid; each bad field is named',
  404: 'There is no such thing',
  409: 'The state does not allow it',
  411: 'The request has no content-length',
  413: 'The body is too large',
  415: 'The body is not JSON',
  503: 'Not now; retry-after says when',
}

/** What a JSON body can get wrong. */
export const BODY_PROBLEMS = [400, 411, 413, 415]

/** A route's part of the OpenAPI document. */
export function describe({ summary, answers, problems = [] }: Description) {
  const schemas: Record<number, z.ZodType> = {
    ...Object.fromEntries(problems.map((status) => [status, Problem])),
    ...answers,
  }
  return describeRoute({
    summary,
    responses: Object.fromEntries(
      Object.entries(schemas).map(([status, schema]) => [
        status,
        {
          description: meanings[Number(status)] ?? '',
          content: { 'application/json': { schema: resolver(schema) } },
        },
      ]),
    ),
  })
}
