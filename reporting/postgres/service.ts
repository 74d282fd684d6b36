import type { Secret } from '../../shared/runtime/secret.ts'
import type { Service } from '../../shared/service/service.ts'
import type { CountStore, ReportObserver } from '../count-store.ts'
import { exposeDatabase } from './metrics.ts'
import { openPostgresCountStore } from './postgres-count-store.ts'

type Options = Pick<Parameters<typeof openPostgresCountStore>[0], 'rules' | 'verdictsMaxAgeMs' | 'maxKeys'> & {
  urls: readonly Secret[]
  maxConnections: number
  onReport: ReportObserver
}

/** Opens the store as a dependency. The service starts even if Postgres is down. */
export function startPostgresCountStore({ log, health, metrics, resources }: Service, options: Options): CountStore {
  const { onFailure, onRetry, observe } = exposeDatabase(metrics)
  const store = resources.use(openPostgresCountStore({ ...options, log, onFailure, onRetry }))
  observe(store)
  health.watch('postgres', { state: store.state, reason: store.reason, required: true })
  return store
}
