import { Counter, Gauge } from 'prom-client'
import type { DependencyState } from '../../shared/contracts/readiness.ts'
import type { Metrics } from '../../shared/service/metrics.ts'
import { RETRYABLE, type StatementError, type Usage } from './database.ts'

/** Exposes metrics for the connections to Postgres, and for failed and retried statements. */
export function exposeDatabase(metrics: Metrics) {
  const registers = [metrics]
  const errors = new Counter({
    name: 'database_errors_total',
    help: 'Statements that failed, by SQLSTATE or network error',
    labelNames: ['code'],
    registers,
  })
  const retries = new Counter({
    name: 'database_retries_total',
    help: 'Transactions that Postgres rolled back and that were retried, by SQLSTATE',
    labelNames: ['code'],
    registers,
  })
  // Starts each series at 0, because rate() ignores the first value of a series.
  for (const code of RETRYABLE) retries.inc({ code }, 0)
  return {
    onFailure: ({ code }: StatementError) => errors.inc({ code }),
    onRetry: (code: string) => retries.inc({ code }),
    observe({ usage, state }: { usage: () => Usage; state: () => DependencyState }) {
      new Gauge({
        name: 'database_up',
        help: '1 while Postgres responds and accepts writes, otherwise 0',
        registers,
        collect() {
          this.set(Number(state() === 'up'))
        },
      })
      new Gauge({
        name: 'database_connections',
        help: 'Busy and idle connections to Postgres, and statements that wait for a connection',
        labelNames: ['state'],
        registers,
        collect() {
          for (const [state, count] of Object.entries(usage())) this.set({ state }, count)
        },
      })
    },
  }
}
