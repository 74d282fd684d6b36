import { PLAN, startIdentityProvider } from './identity-provider.ts'
import { freePort } from './ports.ts'
import { withResources } from './resources.ts'

/** The `authorization` header for a user's plays. */
export type Authorize = (userId: string) => Promise<Record<string, string>>

const READ_TOKEN = 'a-token-of-operators'
const WRITE_TOKEN = 'a-token-of-services-1'
/** A rate limit that no test reaches. */
const RATE = '100000/1s'

/** Starts an identity provider, and returns settings that turn on every protection of an edge. */
export async function startGuards() {
  await using stack = new AsyncDisposableStack()
  const provider = stack.use(await startIdentityProvider())
  const issued = new Map<string, Promise<string>>()
  const authorize: Authorize = async (userId) => {
    const token = issued.get(userId) ?? provider.sign({ sub: userId, plan: PLAN })
    issued.set(userId, token)
    return { authorization: `Bearer ${await token}` }
  }
  const settings = {
    ...provider.settings,
    READ_TOKEN,
    WRITE_TOKEN,
    PLAY_RATE: RATE,
    CLIENT_RATE: RATE,
    TRUSTED_PROXIES: '10.0.0.0/8',
    ALLOWED_HOSTS: 'play.example.com',
    CORS_ORIGINS: 'https://tv.example.com',
    OPS_PORT: String(await freePort()),
  }
  return withResources({ settings, authorize, readToken: READ_TOKEN, writeToken: WRITE_TOKEN }, stack)
}
