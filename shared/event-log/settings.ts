import { optionalDuration } from '../runtime/settings.ts'

/** Also bounds what a restarted reader of the log can count again. */
export const eventsMaxAge = optionalDuration('How long the log retains a view, such as 90d; unset: forever')
