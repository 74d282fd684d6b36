import type { Context, MiddlewareHandler } from 'hono'
import type { SecurityScheme } from '../../shared/http/openapi.ts'
import { allowTokens } from '../../shared/http/read-token.ts'
import type { Secret } from '../../shared/runtime/secret.ts'
import type { Service } from '../../shared/service/service.ts'
import type { PlayEnv } from '../play-env.ts'
import { createAuthenticate, rejectOther, requireOwnId } from './authenticate.ts'
import { fetchJwks } from './fetch-jwks.ts'
import { createJwksCache } from './jwks-cache.ts'
import { createIdentityMetrics } from './metrics.ts'
import type { Provider } from './settings.ts'
import { createTokenVerifier } from './verify-token.ts'

/** Controls who may play, and who may read explanations of views. */
export type Identity = {
  /** Sets `viewer`, or rejects the request. */
  authenticate: MiddlewareHandler<PlayEnv>
  /** Rejects a `:userId` other than `viewer.id`. */
  requireOwnId: MiddlewareHandler<PlayEnv>
  /** Rejects a user id in a body if it is not `viewer.id`. */
  rejectOther: (c: Context<PlayEnv>, userId: string) => Promise<Response> | undefined
  /** Like `authenticate`, but also accepts READ_TOKEN, which sets no `viewer`. */
  authenticateReader: MiddlewareHandler<PlayEnv>
  /** The tokens that `authenticateReader` accepts. */
  readers: SecurityScheme[]
}

/** Starts fetching the provider's keys. The provider need not be up yet. */
export function startIdentity(service: Service, provider: Provider, readToken: Secret | undefined): Identity {
  const { log, health, resources } = service
  const metrics = createIdentityMetrics(service.metrics)
  const fetch = (signal: AbortSignal) => fetchJwks(provider.jwksUrl, signal)
  const jwks = resources.use(createJwksCache({ fetch, log, onFetch: metrics.fetched }))
  metrics.exposeKeys(jwks)
  // Without keys, every play fails, so a process without keys must not become ready and replace one that has them.
  health.watch('identity', { state: jwks.state, reason: jwks.reason, required: () => !jwks.keys() })
  jwks.start()
  const onRejected = metrics.rejected
  const authenticate = createAuthenticate({ verify: createTokenVerifier({ jwks, ...provider }), onRejected })
  return {
    authenticate,
    requireOwnId: requireOwnId({ onRejected }),
    rejectOther: rejectOther({ onRejected }),
    authenticateReader: allowTokens(readToken ? [readToken] : [], authenticate),
    readers: readToken ? ['viewerToken', 'readToken'] : ['viewerToken'],
  }
}
