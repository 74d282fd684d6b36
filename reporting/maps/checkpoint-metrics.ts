import { Gauge } from 'prom-client'
import type { Metrics } from '../../shared/service/metrics.ts'
import type { CheckpointStatus } from './checkpoints.ts'

export function exposeCheckpoints(metrics: Metrics, status: () => CheckpointStatus | undefined): void {
  const registers = [metrics]
  new Gauge({
    name: 'checkpoint_age_seconds',
    help: 'Age of the counts in the checkpoint; 0 while it contains all counted views',
    registers,
    collect() {
      this.set((status()?.ageMs ?? 0) / 1_000)
    },
  })
  new Gauge({
    name: 'checkpoint_failing',
    help: '1 if the last attempt to write the checkpoint failed, otherwise 0',
    registers,
    collect() {
      this.set(Number(status()?.isFailing ?? false))
    },
  })
  new Gauge({
    name: 'checkpoint_bytes',
    help: 'Size of the last checkpoint that this process wrote',
    registers,
    collect() {
      this.set(status()?.last?.bytes ?? 0)
    },
  })
  new Gauge({
    name: 'checkpoint_write_seconds',
    help: 'Duration of the last successful checkpoint write',
    registers,
    collect() {
      this.set((status()?.last?.durationMs ?? 0) / 1_000)
    },
  })
}
