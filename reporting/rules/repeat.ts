import type { ViewRule } from './view-rule.ts'

const WINDOW_MS = 30_000

/**
 * Disqualifies a play within 30 s of the user's previous play of the asset, as in the double-click filtering of
 * COUNTER 5.1 (https://cop5.projectcounter.org/en/5.1/07-processing/02-double-click-filtering.html).
 */
export const repeat: ViewRule = {
  name: 'repeat',
  key: ['assetId', 'userId'],
  windowMs: WINDOW_MS,
  keeps: 1,
  judge: ([previous], { at }) => (previous && Math.abs(at - previous.at) <= WINDOW_MS ? previous : undefined),
  describe(at, because) {
    const seconds = (at - because.at) / 1_000
    return `the same user played the same asset ${Math.abs(seconds)} s ${seconds < 0 ? 'after' : 'before'}`
  },
}
