import type { Logger } from '../runtime/log.ts'
import type { TracingSettings } from './settings.ts'
import { passingOn, type Tracing } from './tracing.ts'

/** Tracing as the settings say. OpenTelemetry is loaded only where spans are to be sent somewhere. */
export async function openTracing(settings: TracingSettings, service: { name: string; log: Logger }): Promise<Tracing> {
  if (!settings.OTEL_EXPORTER_OTLP_ENDPOINT) return passingOn
  const { createOtelTracing } = await import('./otel-tracing.ts')
  return createOtelTracing({ ...settings, endpoint: settings.OTEL_EXPORTER_OTLP_ENDPOINT }, service)
}
