/** The liveness probe's path. */
export const LIVENESS = '/healthz'

/** The readiness probe's path; see `Readiness`. */
export const READINESS = '/readyz'

/** The path of the metrics in Prometheus text format. */
export const METRICS = '/metrics'

/** Load balancers and orchestrators call these paths by address, not by host name. */
export const PROBES: ReadonlySet<string> = new Set([LIVENESS, READINESS])
