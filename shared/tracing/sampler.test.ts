import { expect, test, vi } from 'vitest'
import { useFakeClock } from '../testing/fake-clock.ts'
import { createSampler } from './sampler.ts'
import { createTraceIds } from './trace-context.ts'

type Sampling = Parameters<typeof createSampler>[0]

function countRecorded(sampling: Sampling, times: number, parentFlags?: number): number {
  const sample = createSampler(sampling)
  const decide = () => {
    const ids = createTraceIds()
    return sample(ids.traceId, parentFlags === undefined ? undefined : { ...ids, isSampled: parentFlags === 1 })
  }
  return Array.from({ length: times }, decide).filter(Boolean).length
}

test('by default, 25 new traces per second are sampled', async () => {
  useFakeClock()
  const sample = createSampler({ OTEL_TRACES_SAMPLER: undefined, OTEL_TRACES_SAMPLER_ARG: 1 })
  const sampled = () => Array.from({ length: 500 }, () => sample('', undefined)).filter(Boolean).length
  expect([sampled(), sampled()]).toEqual([25, 0])
  await vi.advanceTimersByTimeAsync(1_000)
  expect(sampled()).toBe(25)
})

test("by default, the caller's sampling decision is respected", () => {
  const sampling = { OTEL_TRACES_SAMPLER: undefined, OTEL_TRACES_SAMPLER_ARG: 1 }
  expect(countRecorded(sampling, 500, 1)).toBe(500)
  expect(countRecorded(sampling, 500, 0)).toBe(0)
})

test.each([
  ['always_on', [500, 500, 500]],
  ['always_off', [0, 0, 0]],
  ['parentbased_always_on', [500, 500, 0]],
  ['parentbased_always_off', [0, 500, 0]],
] as const)('%s samples as specified by OpenTelemetry', (OTEL_TRACES_SAMPLER, expected) => {
  const sampling = { OTEL_TRACES_SAMPLER, OTEL_TRACES_SAMPLER_ARG: 1 }
  expect([countRecorded(sampling, 500), countRecorded(sampling, 500, 1), countRecorded(sampling, 500, 0)]).toEqual(
    expected,
  )
})

test.each(['traceidratio', 'parentbased_traceidratio'] as const)(
  '%s samples the configured ratio of traces',
  (OTEL_TRACES_SAMPLER) => {
    const recordedAt = (ratio: number) => countRecorded({ OTEL_TRACES_SAMPLER, OTEL_TRACES_SAMPLER_ARG: ratio }, 2_000)
    expect([recordedAt(0), recordedAt(1)]).toEqual([0, 2_000])
    expect(recordedAt(0.5)).toBeGreaterThan(800)
    expect(recordedAt(0.5)).toBeLessThan(1_200)
  },
)
