import type { MiddlewareHandler } from 'hono'
import { setAnswerHeader } from './answer-header.ts'
import type { AppEnv } from './app-env.ts'

/** Has browsers take every answer for what its content-type says. */
export function nosniff(): MiddlewareHandler<AppEnv> {
  return function nosniff(c, next) {
    setAnswerHeader(c, 'x-content-type-options', 'nosniff')
    return next()
  }
}
