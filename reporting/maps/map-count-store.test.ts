import { describeCountStore } from '../count-store.test-suite.ts'
import type { ReportObserver } from '../count-store.ts'
import { describeVerdicts } from '../engine.test-suite.ts'
import type { Opened } from '../opened-store.test-suite.ts'
import type { RulesVersion } from '../rules/rule-sets.ts'
import { describeSeries } from '../series.test-suite.ts'
import { describeWatchTime } from '../watch.test-suite.ts'
import { createCountState } from './count-state.ts'
import { createMapCountStore } from './map-count-store.ts'

async function open(onReport: ReportObserver = () => {}, rules: RulesVersion = 'v1'): Promise<Opened> {
  return {
    // Creating an index of the default size would take longer than a test run.
    counts: createMapCountStore({
      onReport,
      state: createCountState({ kept: { verdicts: 5_000, keys: 5_000 }, rules }),
    }),
    others: [],
    restart: () => open(onReport, rules),
    [Symbol.asyncDispose]: async () => {},
  }
}

describeCountStore({ open: (onReport) => open(onReport), isPersistent: false, numRuns: 300 })
describeVerdicts({ open: () => open(), isPersistent: false, numRuns: 300 })
describeSeries({ open: () => open(), isPersistent: false, numRuns: 100 })
describeWatchTime({ open: () => open(undefined, 'v2'), isPersistent: false, numRuns: 300 })
