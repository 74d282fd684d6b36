import { expect } from 'vitest'
import type { FieldError } from '../http/errors.ts'

const statusTexts: Record<number, string> = {
  400: 'Invalid request',
  401: 'Unauthorized',
  404: 'Not found',
  405: 'Method not allowed',
  411: 'Length required',
  413: 'Content too large',
  415: 'Unsupported media type',
  429: 'Too many requests',
  500: 'Internal error',
  503: 'Service unavailable',
}

/** Checks that an answer is an error in the one shape, with nothing else in it. Returns what it says of each field. */
export async function expectProblem(response: Response, status: number, paths?: string[]): Promise<FieldError[]> {
  const body = (await response.json()) as { errors?: FieldError[] }
  const errors = body.errors ?? []
  expect({ status: response.status, body }).toEqual({
    status,
    body: {
      status: statusTexts[status],
      requestId: response.headers.get('x-request-id'),
      ...(body.errors && { errors: errors.map(() => ({ path: expect.any(String), message: expect.any(String) })) }),
    },
  })
  if (paths) expect(errors.map(({ path }) => path)).toEqual(paths)
  return errors
}
