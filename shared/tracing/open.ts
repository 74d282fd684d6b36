import type { Logger } from '../runtime/log.ts'
import { createTraceStore } from './kept-traces.ts'
import { createMemoryTracing } from './memory-tracing.ts'
import { createSampler } from './sampler.ts'
import type { TracingSettings } from './settings.ts'
import { nonRecordingTracing, type Tracing } from './tracing.ts'

/** Opens tracing as configured. The OpenTelemetry SDK is loaded only if an OTLP endpoint is set. */
export async function openTracing(settings: TracingSettings, service: { name: string; log: Logger }): Promise<Tracing> {
  const { TRACES_KEPT: kept, OTEL_EXPORTER_OTLP_ENDPOINT: endpoint } = settings
  if (endpoint) {
    const { createOtelTracing } = await import('./otel-tracing.ts')
    return createOtelTracing({ ...settings, endpoint }, service)
  }
  if (kept === 0) return nonRecordingTracing
  return createMemoryTracing({
    service: service.name,
    sample: createSampler(settings),
    store: createTraceStore(kept),
  })
}
