import { doubleClick } from './step-double-click.js'
import { expiredUrl } from './step-expired-url.js'
import { killNats } from './step-kill-nats.js'
import { killPlay } from './step-kill-play.js'
import { killReporting } from './step-kill-reporting.js'
import { onePlay } from './step-play.js'
import { prefetchFlood } from './step-prefetch.js'
import { replay } from './step-replay.js'

/**
 * The tour's steps, in order. The page and `npm run tour` run the same steps.
 * @type {import('./runner.js').Step<unknown>[]}
 */
export const steps = [onePlay, doubleClick, killReporting, killNats, killPlay, replay, expiredUrl, prefetchFlood]
