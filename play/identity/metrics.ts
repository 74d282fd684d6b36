import { Gauge } from 'prom-client'
import { createLabelCounter } from '../../shared/service/fast-counter.ts'
import type { Metrics } from '../../shared/service/metrics.ts'
import type { JwksCache } from './jwks-cache.ts'
import { type Rejection, rejections } from './rejections.ts'

export type IdentityMetrics = {
  rejected(rejection: Rejection): void
  fetched(outcome: 'succeeded' | 'failed'): void
  /** Exposes the age of the keys. */
  exposeKeys(jwks: Pick<JwksCache, 'ageMs'>): void
}

export function createIdentityMetrics(metrics: Metrics): IdentityMetrics {
  const rejected = createLabelCounter(metrics, {
    name: 'identity_rejections_total',
    help: 'Requests rejected because of their token, by reason',
    label: 'reason',
    values: Object.keys(rejections),
  })
  const fetched = createLabelCounter(metrics, {
    name: 'identity_key_fetches_total',
    help: "Fetches of the identity provider's keys, by outcome: succeeded or failed",
    label: 'outcome',
    values: ['succeeded', 'failed'],
  })
  return {
    rejected,
    fetched,
    exposeKeys(jwks) {
      new Gauge({
        name: 'identity_key_age_seconds',
        help: "Time since the identity provider's keys were last fetched; NaN before the first successful fetch",
        registers: [metrics],
        collect() {
          this.set((jwks.ageMs() ?? Number.NaN) / 1_000)
        },
      })
    },
  }
}
