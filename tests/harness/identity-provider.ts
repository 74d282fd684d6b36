import type { RequestListener } from 'node:http'
import { exportJWK, generateKeyPair, type JWK, SignJWT } from 'jose'
import Provider from 'oidc-provider'
import { z } from 'zod'
import { type HttpServer, startHttpServer } from '../../shared/testing/http-server.ts'
import { freePort } from './ports.ts'

export const AUDIENCE = 'edge'
export const PLAN = 'gold'

/** The users who can get a token from the provider. */
const USERS = ['alice', 'bob', 'not a user id']

export type SigningKey = { alg: string; kid: string; privateKey: CryptoKey; publicJwk: JWK; privateJwk: JWK }

/** An OpenID provider on its own port. The test controls its keys and availability. */
export type IdentityProvider = AsyncDisposable & {
  issuer: string
  /** The settings for a play instance that trusts this provider. */
  settings: Record<string, string>
  /** The keys that the provider publishes. The provider signs with the first key. */
  keys(): readonly SigningKey[]
  /** Replaces the published keys. */
  use(keys: readonly SigningKey[]): void
  /** Handles requests for the keys with `listener`. Without a listener, serves the keys again. */
  publish(listener?: RequestListener): void
  /** The number of requests for the keys so far. */
  fetches(): number
  /** Gets a token from the token endpoint. */
  issue(user: string): Promise<string>
  /** Signs a token. `claims` and `header` override valid defaults. `key` defaults to the provider's first key. */
  sign(claims?: Record<string, unknown>, header?: object, key?: SigningKey): Promise<string>
  stop(): Promise<void>
  start(): Promise<void>
}

let created = 0

export async function createSigningKey(alg = 'ES256'): Promise<SigningKey> {
  created += 1
  const kid = `key-${created}`
  const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: true })
  const toJwk = async (key: CryptoKey) => ({ ...(await exportJWK(key)), kid, alg, use: 'sig' })
  return { alg, kid, privateKey, publicJwk: await toJwk(publicKey), privateJwk: await toJwk(privateKey) }
}

export async function startIdentityProvider(algorithms = ['ES256']): Promise<IdentityProvider> {
  const port = await freePort()
  const issuer = `http://127.0.0.1:${port}`
  const jwksUrl = `${issuer}/jwks`
  let keys: readonly SigningKey[] = await Promise.all(algorithms.map(createSigningKey))
  let handle = createHandler(issuer, keys)
  let published: RequestListener | undefined
  let fetches = 0
  let server: HttpServer
  const start = async () => {
    server = await startHttpServer((request, response) => {
      if (request.url !== '/jwks') return handle(request, response)
      fetches += 1
      return (published ?? handle)(request, response)
    }, port)
  }
  await start()

  return {
    issuer,
    settings: { AUTH_JWKS_URL: jwksUrl, AUTH_ISSUER: issuer, AUTH_AUDIENCE: AUDIENCE },
    keys: () => keys,
    use(replacements) {
      keys = replacements
      handle = createHandler(issuer, keys)
    },
    publish(listener) {
      published = listener
    },
    fetches: () => fetches,
    issue: (user) => requestToken(issuer, user),
    async sign(claims = {}, header = {}, key = keys[0]) {
      if (!key) throw new Error('the provider has no key')
      const expiry = Math.floor(Date.now() / 1_000) + 3_600
      return new SignJWT({ iss: issuer, aud: AUDIENCE, sub: 'alice', exp: expiry, ...claims })
        .setProtectedHeader({ alg: key.alg, kid: key.kid, ...header })
        .sign(key.privateKey)
    },
    async stop() {
      await server[Symbol.asyncDispose]()
    },
    start,
    async [Symbol.asyncDispose]() {
      await server[Symbol.asyncDispose]()
    },
  }
}

/** Each user is an OAuth client, so that tests can get tokens without a browser. */
function createHandler(issuer: string, keys: readonly SigningKey[]): RequestListener {
  const alg = keys[0]?.alg ?? 'ES256'
  const provider = new Provider(issuer, {
    jwks: { keys: keys.map(({ privateJwk }) => privateJwk) },
    cookies: { keys: ['test'] },
    clients: USERS.map((user) => ({
      client_id: user,
      client_secret: 'secret',
      grant_types: ['client_credentials'],
      redirect_uris: [],
      response_types: [],
      id_token_signed_response_alg: alg,
    })),
    extraTokenClaims: () => ({ plan: PLAN }),
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: () => ({
          scope: 'play',
          audience: AUDIENCE,
          accessTokenFormat: 'jwt',
          jwt: { sign: { alg } },
        }),
      },
    },
  })
  return provider.callback()
}

async function requestToken(issuer: string, user: string): Promise<string> {
  const authorization = `Basic ${Buffer.from(`${encodeURIComponent(user)}:secret`).toString('base64')}`
  const body = new URLSearchParams({ grant_type: 'client_credentials', resource: 'urn:edge' })
  const response = await fetch(`${issuer}/token`, { method: 'POST', headers: { authorization }, body })
  return z.object({ access_token: z.string() }).parse(await response.json()).access_token
}
