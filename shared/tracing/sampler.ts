import {
  AlwaysOffSampler,
  AlwaysOnSampler,
  ParentBasedSampler,
  type Sampler,
  SamplingDecision,
  TraceIdRatioBasedSampler,
} from '@opentelemetry/sdk-trace'
import type { TracingSettings } from './settings.ts'

/** Default limit for new traces. At this rate, recording takes one to two percent of a core. */
const MAX_PER_SECOND = 25

type Sampling = Pick<TracingSettings, 'OTEL_TRACES_SAMPLER' | 'OTEL_TRACES_SAMPLER_ARG'>

/** The sampler that OpenTelemetry's environment variables select. By default, it samples all of light traffic. */
export function createSampler({ OTEL_TRACES_SAMPLER: name, OTEL_TRACES_SAMPLER_ARG: ratio }: Sampling): Sampler {
  switch (name) {
    case undefined:
      return new ParentBasedSampler({ root: createRateLimitingSampler(MAX_PER_SECOND) })
    case 'always_on':
      return new AlwaysOnSampler()
    case 'always_off':
      return new AlwaysOffSampler()
    case 'traceidratio':
      return new TraceIdRatioBasedSampler(ratio)
    case 'parentbased_always_on':
      return new ParentBasedSampler({ root: new AlwaysOnSampler() })
    case 'parentbased_always_off':
      return new ParentBasedSampler({ root: new AlwaysOffSampler() })
    case 'parentbased_traceidratio':
      return new ParentBasedSampler({ root: new TraceIdRatioBasedSampler(ratio) })
  }
}

/** Samples the first `maxPerSecond` traces of each second. */
function createRateLimitingSampler(maxPerSecond: number): Sampler {
  let second = -1
  let taken = 0
  return {
    shouldSample() {
      const now = Math.floor(performance.now() / 1_000)
      if (now !== second) {
        second = now
        taken = 0
      }
      taken += 1
      return { decision: taken <= maxPerSecond ? SamplingDecision.RECORD_AND_SAMPLED : SamplingDecision.NOT_RECORD }
    },
    toString: () => `RateLimiting{${maxPerSecond}}`,
  }
}
