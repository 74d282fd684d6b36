import type { TracingSettings } from './settings.ts'
import type { TraceIds } from './trace-context.ts'

/** Default limit for new traces. At this rate, recording takes one to two percent of a core. */
const MAX_PER_SECOND = 25

type Sampling = Pick<TracingSettings, 'OTEL_TRACES_SAMPLER' | 'OTEL_TRACES_SAMPLER_ARG'>

/** Decides whether a span is recorded. `parent` is the span that caused it, in this or another process. */
export type Sampler = (traceId: string, parent: TraceIds | undefined) => boolean

/**
 * Creates the sampler that OpenTelemetry's environment variables select. By default, it samples every trace at low
 * traffic.
 */
export function createSampler({ OTEL_TRACES_SAMPLER: name, OTEL_TRACES_SAMPLER_ARG: ratio }: Sampling): Sampler {
  switch (name) {
    case undefined:
      return parentBased(createRateLimit(MAX_PER_SECOND))
    case 'always_on':
      return () => true
    case 'always_off':
      return () => false
    case 'traceidratio':
      return (traceId) => isInRatio(traceId, ratio)
    case 'parentbased_always_on':
      return parentBased(() => true)
    case 'parentbased_always_off':
      return parentBased(() => false)
    case 'parentbased_traceidratio':
      return parentBased((traceId) => isInRatio(traceId, ratio))
  }
}

function parentBased(sampleRoot: (traceId: string) => boolean): Sampler {
  return (traceId, parent) => (parent ? parent.isSampled : sampleRoot(traceId))
}

/** The last 56 bits of a trace id are random (W3C Trace Context, level 2). */
function isInRatio(traceId: string, ratio: number): boolean {
  return Number.parseInt(traceId.slice(18), 16) < ratio * 2 ** 56
}

/**
 * Creates a function that returns true for the first `maxPerSecond` calls in a second. It never reads the clock,
 * because most calls return false and should be cheap.
 */
export function createRateLimit(maxPerSecond: number): () => boolean {
  let taken = 0
  const reset = () => {
    taken = 0
  }
  return () => {
    if (taken >= maxPerSecond) return false
    if (taken === 0) setTimeout(reset, 1_000).unref()
    taken += 1
    return true
  }
}
