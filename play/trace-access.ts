import type { Context, MiddlewareHandler } from 'hono'
import type { TraceAccess } from '../console/traces/routes.ts'
import type { AppEnv } from '../shared/http/app-env.ts'
import { allowTokens } from '../shared/http/read-token.ts'
import { rejectToken } from '../shared/http/write-token.ts'
import type { Secret } from '../shared/runtime/secret.ts'
import type { Identity } from './identity/identity.ts'
import type { PlayEnv } from './play-env.ts'

type Deps = {
  identity?: Identity | undefined
  /** READ_TOKEN, if it is set, and the write tokens. */
  tokens: readonly Secret[]
  /** Returns true if the response must hide every user id except the caller's own. */
  hidesUsers: (c: Context<PlayEnv>) => boolean
}

/** If user ids are hidden, only operators may list plays, and only they and a play's user may read its trace. */
export function createTraceAccess({ identity, tokens, hidesUsers }: Deps): TraceAccess {
  const whereHidden =
    (middleware: MiddlewareHandler<PlayEnv>): MiddlewareHandler<PlayEnv> =>
    (c, next) =>
      hidesUsers(c) ? middleware(c, next) : next()
  const reject: MiddlewareHandler<AppEnv> = async (c) => rejectToken(c)
  const operators = ['readToken', 'writeToken'] as const
  return {
    requireReader: whereHidden(allowTokens(tokens, reject)),
    requireViewer: whereHidden(allowTokens(tokens, identity?.authenticate ?? reject)),
    readers: identity ? { list: [...operators], trace: ['viewerToken', ...operators] } : { list: [], trace: [] },
  }
}
