import { z } from 'zod'

/** The response to a successful write. */
export const Done = z.object({ status: z.literal('ok') }).meta({ id: 'Done', examples: [{ status: 'ok' }] })
export type Done = z.infer<typeof Done>

const REQUEST_ID = '0f4d2c8e-5a39-4b1e-9c57-1d3f6a7b8c90'

/** The fields of every error response. Some errors add fields, such as the `id` that was not found. */
export const Problem = z
  .object({
    status: z.string().meta({ description: 'Human-readable summary of the error' }),
    errors: z
      .array(z.object({ path: z.string(), message: z.string() }))
      .optional()
      .meta({ description: 'One entry per invalid field' }),
    requestId: z.string().meta({ description: 'The request id in the logs' }),
  })
  .meta({ id: 'Problem' })
export type Problem = z.infer<typeof Problem>

export function toProblem(status: number, requestId: string, errors?: Problem['errors']): Problem {
  return { status: toStatusText(status), ...(errors && { errors }), requestId }
}

const statusTexts: Partial<Record<number, string>> = {
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'Not found',
  405: 'Method not allowed',
  408: 'Request timeout',
  411: 'Length required',
  413: 'Content too large',
  415: 'Unsupported media type',
  416: 'Range not satisfiable',
  417: 'Expectation failed',
  421: 'Misdirected request',
  422: 'Idempotency key reused',
  429: 'Too many requests',
  431: 'Headers too large',
  451: 'Not available',
  501: 'Not implemented',
  503: 'Service unavailable',
  507: 'Insufficient storage',
}

/** Returns the `status` text for a Problem with this HTTP status code. */
export function toStatusText(status: number): string {
  return statusTexts[status] ?? (status < 500 ? 'Invalid request' : 'Internal error')
}

const requestId = Problem.shape.requestId

export const AssetNotFound = z
  .object({ id: z.string(), status: z.literal('Asset not found'), requestId })
  .meta({ id: 'AssetNotFound', examples: [{ id: '789', status: 'Asset not found', requestId: REQUEST_ID }] })
export type AssetNotFound = z.infer<typeof AssetNotFound>

export const UserNotFound = z
  .object({ id: z.string(), status: z.literal('User not found'), requestId })
  .meta({ id: 'UserNotFound', examples: [{ id: '9', status: 'User not found', requestId: REQUEST_ID }] })
export type UserNotFound = z.infer<typeof UserNotFound>
