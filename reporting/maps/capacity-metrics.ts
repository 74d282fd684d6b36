import { Gauge } from 'prom-client'
import type { Metrics } from '../../shared/service/metrics.ts'
import { type Capacity, isHeapFull } from './capacity.ts'
import type { CountState } from './count-state.ts'

/** @param counts returns undefined until the counts are loaded */
export function exposeCapacity(
  metrics: Metrics,
  capacity: Capacity,
  counts: () => CountState['counts'] | undefined,
): void {
  const registers = [metrics]
  new Gauge({ name: 'counted_ids_max', help: 'Maximum number of assets, and of users, with counts', registers }).set(
    capacity.maxIds,
  )
  new Gauge({
    name: 'counts_heap_full',
    help: '1 if there is no room for the counts of new ids below the heap limit, otherwise 0',
    registers,
    collect() {
      const loaded = counts()
      this.set(Number(loaded !== undefined && isHeapFull(capacity, loaded)))
    },
  })
}
