import { optionalDuration } from '../runtime/settings.ts'

/** Views that have expired are missing from the counts after a replay. */
export const eventsMaxAge = optionalDuration('How long the log retains a view, such as 90d; unset: forever')
