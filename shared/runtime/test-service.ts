import { beginUnrecorded, type RequestContext } from '../tracing/tracing.ts'
import { createService, type Service } from './service.ts'

/** What a service has, for a test: it logs nothing, and stops when the test says so. */
export function createTestService(name = 'test', stopping = new AbortController().signal): Service {
  return createService({ name, level: 'silent', stopping })
}

/** A request on whose behalf a test asks for something. */
export function createTestRequest(requestId = 'request'): RequestContext {
  return { requestId, span: beginUnrecorded() }
}
