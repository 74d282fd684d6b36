import { z } from 'zod'
import { UsageError } from '../../shared/runtime/command-line.ts'
import { isLoopbackUrl } from '../../shared/runtime/loopback.ts'

const jwksUrl = z.string().refine(isAcceptable, {
  error:
    'must be an https URL without credentials, such as https://login.example/jwks; http is allowed only on loopback, because anyone who can change the response can sign tokens',
})

export const identitySettings = {
  AUTH_JWKS_URL: jwksUrl.optional().meta({
    description: "URL of the identity provider's keys (JWKS); if set, plays require the user's token",
  }),
  AUTH_ISSUER: z.string().optional().meta({ description: 'Issuer (iss) of user tokens' }),
  AUTH_AUDIENCE: z.string().optional().meta({ description: 'Audience (aud) that user tokens must name' }),
}

/** The identity provider, and what its tokens must contain. */
export type Provider = { jwksUrl: string; issuer: string; audience: string }

export type IdentitySettings = z.output<z.ZodObject<typeof identitySettings>>

/**
 * Returns the identity provider, or undefined if identity is off.
 * @throws UsageError if only some of the settings are set, so that plays never skip authentication by accident
 */
export function providerOf(settings: IdentitySettings): Provider | undefined {
  const { AUTH_JWKS_URL: jwksUrl, AUTH_ISSUER: issuer, AUTH_AUDIENCE: audience } = settings
  if (jwksUrl && issuer && audience) return { jwksUrl, issuer, audience }
  const given = { AUTH_JWKS_URL: jwksUrl, AUTH_ISSUER: issuer, AUTH_AUDIENCE: audience }
  const missingSettings = Object.entries(given).flatMap(([name, value]) => (value ? [] : [name]))
  if (missingSettings.length === Object.keys(given).length) return undefined
  const rule = 'identity needs all of AUTH_JWKS_URL, AUTH_ISSUER and AUTH_AUDIENCE'
  throw new UsageError(`${missingSettings.join(' and ')} must be set too: ${rule}`)
}

function isAcceptable(text: string): boolean {
  if (!/^https?:\/\//i.test(text) || !URL.canParse(text)) return false
  const { protocol, username, password } = new URL(text)
  if (username || password) return false
  return protocol === 'https:' || isLoopbackUrl(text)
}
