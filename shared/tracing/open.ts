import type { Logger } from '../runtime/log.ts'
import type { TracingSettings } from './settings.ts'
import { nonRecordingTracing, type Tracing } from './tracing.ts'

/** Tracing as configured. The OpenTelemetry SDK is loaded only if an OTLP endpoint is set. */
export async function openTracing(settings: TracingSettings, service: { name: string; log: Logger }): Promise<Tracing> {
  if (!settings.OTEL_EXPORTER_OTLP_ENDPOINT) return nonRecordingTracing
  const { createOtelTracing } = await import('./otel-tracing.ts')
  return createOtelTracing({ ...settings, endpoint: settings.OTEL_EXPORTER_OTLP_ENDPOINT }, service)
}
