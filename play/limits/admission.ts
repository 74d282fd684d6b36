import type { ServiceSettings } from '../../shared/service/run-service.ts'
import type { Service } from '../../shared/service/service.ts'
import type { PlayMetrics } from '../metrics.ts'
import { sampleEventLoopDelay } from './event-loop-delay.ts'
import type { Rate } from './gcra.ts'
import { type LimitOptions, limitClients, limitReports, limitUsers } from './rate-limit.ts'
import type { limitSettings } from './settings.ts'
import { shedLoad } from './shed-load.ts'

/** The middleware that refuses requests before any work is done. A limit that is not set adds no middleware. */
export function createAdmission(
  { log, resources }: Service,
  settings: ServiceSettings<typeof limitSettings>,
  metrics: Pick<PlayMetrics, 'rateLimited' | 'shed'>,
) {
  const { CLIENT_RATE, PLAY_RATE, TRUSTED_PROXIES: trustedProxies } = settings
  const limit = <Limit>(create: (options: LimitOptions) => Limit, name: string, rate: Rate | undefined) =>
    rate ? [create({ rate, log, trustedProxies, onRefused: metrics.rateLimited(name) })] : []
  const [refuseReport] = limit(limitReports, 'watched', PLAY_RATE)
  return {
    limitClients: limit(limitClients, 'client', CLIENT_RATE),
    shedLoad: shedLoad({ delay: resources.use(sampleEventLoopDelay()), onRefused: metrics.shed }),
    limitUsers: limit(limitUsers, 'user', PLAY_RATE),
    refuseReport,
  }
}
