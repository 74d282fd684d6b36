import { createLog } from '../runtime/log.ts'
import { createService, type Service } from '../service/service.ts'
import { type RequestContext, startNonRecordingSpan } from '../tracing/tracing.ts'

/** A service that logs nothing. */
export function createTestService(name = 'test', stopping = new AbortController().signal): Service {
  return createService({ name, log: createLog({ name, level: 'silent' }), stopping })
}

export function createTestRequestContext(requestId = 'request'): RequestContext {
  return { requestId, span: startNonRecordingSpan() }
}
