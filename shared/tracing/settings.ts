import { z } from 'zod'
import { count } from '../runtime/settings.ts'

const samplers = [
  'always_on',
  'always_off',
  'traceidratio',
  'parentbased_always_on',
  'parentbased_always_off',
  'parentbased_traceidratio',
] as const

/** Bounds memory: a process keeps at most 50 spans per trace, of about half a kilobyte each. */
const MAX_KEPT = 10_000

/**
 * OpenTelemetry's standard variables, and how many traces to keep in memory. The SDK reads further variables directly
 * (https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/).
 */
export const tracingSettings = {
  OTEL_EXPORTER_OTLP_ENDPOINT: z
    .url({ protocol: /^https?$/, error: 'must be an http(s) URL such as http://127.0.0.1:4318' })
    .transform((url) => url.replace(/\/+$/, ''))
    .optional()
    .meta({ description: 'OTLP/HTTP endpoint that spans are exported to' }),
  OTEL_TRACES_SAMPLER: z
    .enum(samplers, { error: `must be one of ${samplers.join(', ')}` })
    .optional()
    .meta({
      description: 'Sampler; unset: 25 new traces per second, and every trace that the caller samples',
    }),
  OTEL_TRACES_SAMPLER_ARG: z
    .string()
    .regex(/^(0(\.\d+)?|1(\.0+)?)$/, { error: 'must be a number from 0 to 1' })
    .transform(Number)
    .default(1)
    .meta({ description: 'Sampling ratio for traceidratio' }),
  TRACES_KEPT: count(200, 'Number of recorded traces that GET /traces/:traceId can return; 0: none', MAX_KEPT, 0),
}

export type TracingSettings = z.output<z.ZodObject<typeof tracingSettings>>
