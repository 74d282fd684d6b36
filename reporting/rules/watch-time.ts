import type { WatchRule } from './view-rule.ts'

const REQUIRED_MS = 30_000

/** A view qualifies once it has been watched for 30 s, or for half of the duration if that is less. */
export const watchTime: WatchRule = {
  name: 'watch-time',
  unreported: 'no-watch-report',
  requiredMs: (duration) => (duration === undefined ? REQUIRED_MS : Math.min(REQUIRED_MS, Math.ceil(duration * 500))),
}
