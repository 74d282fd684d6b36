import { z } from 'zod'
import { toMilliseconds } from '../../shared/runtime/settings.ts'
import type { Rate } from './gcra.ts'

const MAX_COUNT = 100_000
const MAX_PERIOD_MS = 86_400_000

/** A rate such as `60/1m`; undefined if it is unset. The period is in whole seconds, as in `RateLimit-Policy`. */
function optionalRate(description: string) {
  return z
    .string()
    .transform(toRate)
    .refine(isValid, {
      error: `must be a count up to ${MAX_COUNT} and a duration of 1s to 1d in whole seconds, such as 60/1m`,
    })
    .optional()
    .meta({ description })
}

export const limitSettings = {
  CLIENT_RATE: optionalRate('Requests per client address, such as 600/1m'),
  PLAY_RATE: optionalRate('Plays per user, such as 60/1m; without authentication, per user and client address'),
}

function toRate(text: string): Rate {
  const [, count, period = ''] = /^(\d{1,9})\/(\d{1,9}[smhd])$/.exec(text) ?? []
  return { count: Number(count), periodMs: toMilliseconds(period) }
}

function isValid({ count, periodMs }: Rate): boolean {
  return count >= 1 && count <= MAX_COUNT && periodMs >= 1_000 && periodMs <= MAX_PERIOD_MS
}
