/** The path of the liveness probe. */
export const LIVENESS = '/healthz'

/** The path of the readiness probe; see `Readiness`. */
export const READINESS = '/readyz'

/** The path of the metrics in Prometheus text format. */
export const METRICS = '/metrics'

/** Load balancers and orchestrators call these paths by address, not by host name. */
export const PROBES: ReadonlySet<string> = new Set([LIVENESS, READINESS])
