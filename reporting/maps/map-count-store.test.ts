import { describeCountStore, type Opened } from '../count-store.test-suite.ts'
import type { ReportObserver } from '../count-store.ts'
import { describeVerdicts } from '../engine.test-suite.ts'
import { createMapCountStore } from './map-count-store.ts'

async function open(onReport: ReportObserver = () => {}): Promise<Opened> {
  return {
    counts: createMapCountStore({ onReport }),
    others: [],
    restart: () => open(onReport),
    [Symbol.asyncDispose]: async () => {},
  }
}

describeCountStore({ open, isPersistent: false, numRuns: 300 })
describeVerdicts({ open, isPersistent: false, numRuns: 300 })
