import { optionalDuration } from '../runtime/settings.ts'

/** Counts that are rebuilt from the log lack the views that have expired. */
export const eventsMaxAge = optionalDuration('How long the log retains a view, such as 90d; unset: forever')
