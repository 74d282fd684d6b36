import { expect } from 'vitest'
import { Problem } from '../contracts/status.ts'
import type { FieldError } from '../http/errors.ts'

const statusTexts: Record<number, string> = {
  400: 'Invalid request',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'Not found',
  405: 'Method not allowed',
  411: 'Length required',
  413: 'Content too large',
  415: 'Unsupported media type',
  422: 'Idempotency key reused',
  429: 'Too many requests',
  500: 'Internal error',
  503: 'Service unavailable',
}

/** Checks that a response is a plain Problem, without other fields. Returns its field errors. */
export async function expectProblem(response: Response, status: number, paths?: string[]): Promise<FieldError[]> {
  const body: unknown = await response.json()
  const { errors } = Problem.parse(body)
  expect({ status: response.status, body }).toEqual({
    status,
    body: {
      status: statusTexts[status],
      requestId: response.headers.get('x-request-id'),
      ...(errors && { errors: errors.map(() => ({ path: expect.any(String), message: expect.any(String) })) }),
    },
  })
  if (paths) expect((errors ?? []).map(({ path }) => path)).toEqual(paths)
  return errors ?? []
}
