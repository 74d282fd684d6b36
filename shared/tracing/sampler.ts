import {
  AlwaysOffSampler,
  AlwaysOnSampler,
  ParentBasedSampler,
  type Sampler,
  SamplingDecision,
  TraceIdRatioBasedSampler,
} from '@opentelemetry/sdk-trace'
import type { TracingSettings } from './settings.ts'

/** New traces that are recorded in a second where nothing else is said. They cost a percent or two of a core. */
const MAX_PER_SECOND = 25

type Sampling = Pick<TracingSettings, 'OTEL_TRACES_SAMPLER' | 'OTEL_TRACES_SAMPLER_ARG'>

/** The sampler that OpenTelemetry's variables name. Ours where they name none: all of little traffic, and little of much. */
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

/** Takes the first so many of each second. */
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
