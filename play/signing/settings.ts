import { createPrivateKey } from 'node:crypto'
import { z } from 'zod'
import { hasPlainSegments } from '../../shared/contracts/relative-url.ts'
import { UsageError } from '../../shared/runtime/command-line.ts'
import { optionalSecret } from '../../shared/runtime/secret-settings.ts'
import { duration } from '../../shared/runtime/settings.ts'
import { signingKeys, toSigningKeys } from '../../shared/runtime/signing-keys.ts'
import { normalize } from '../../shared/signing/cdn-path.ts'
import { createHmacSigner } from '../../shared/signing/hmac-signer.ts'
import type { Signer } from '../../shared/signing/signer.ts'
import type { CloudFrontPolicy } from './cloudfront-signer.ts'

const SIGNERS = ['hmac', 'cloudfront'] as const
const CLOUDFRONT_POLICIES = ['canned', 'custom'] as const satisfies CloudFrontPolicy[]

const baseUrl = z
  .string()
  .refine(isBaseUrl, {
    error: 'must be an http(s) URL without credentials, query and fragment, such as https://cdn.example',
  })
  .transform((text) => new URL(text).href.replace(/\/+$/, ''))

const paths = z
  .string()
  .transform((text) => text.split(',').map((prefix) => prefix.trim().replace(/^\//, '')))
  .refine((prefixes) => prefixes.every(isPrefix), {
    error: 'must be prefixes of relative paths, separated by commas, such as clips/,films/',
  })
  .transform((prefixes) => prefixes.map(normalize))

export const cdnBaseUrl = baseUrl
  .optional()
  .meta({ description: "The CDN's URL; if set, play signs relative URLs for it" })

export const signingSettings = {
  CDN_BASE_URL: cdnBaseUrl,
  CDN_SIGNER: z
    .enum(SIGNERS, { error: `must be ${SIGNERS.join(' or ')}` })
    .default('hmac')
    .meta({ description: 'How URLs are signed' }),
  CDN_KEYS: signingKeys,
  CDN_PATHS: paths.optional().meta({
    description: 'Prefixes of the relative URLs to sign, separated by commas; if unset, all of them',
  }),
  CDN_URL_TTL: duration('6h', 'Minimum time that a signed URL remains valid, from 1s to 365d').refine(
    (ms) => ms >= 1_000 && ms <= 365 * 86_400_000,
    { error: 'must be a duration from 1s to 365d' },
  ),
  CLOUDFRONT_KEY_PAIR_ID: z
    .string()
    .regex(/^[A-Z0-9]{1,64}$/, { error: 'must be the id of a CloudFront public key, such as K2JCJMDEHXQW5F' })
    .optional()
    .meta({ description: 'Id of the key pair, for CDN_SIGNER=cloudfront' }),
  CLOUDFRONT_PRIVATE_KEY: optionalSecret(
    'Private RSA key in PEM, for CDN_SIGNER=cloudfront',
    isRsaKey,
    'must be a private RSA key in PEM without a passphrase',
  ),
  CLOUDFRONT_POLICY: z
    .enum(CLOUDFRONT_POLICIES, { error: `must be ${CLOUDFRONT_POLICIES.join(' or ')}` })
    .default('canned')
    .meta({
      description: 'What a CloudFront signature covers: the URL (canned), or, for a playlist, its directory (custom)',
    }),
}

export type SigningSettings = z.output<z.ZodObject<typeof signingSettings>>

/**
 * Creates the configured signer; returns undefined without a CDN. Loads the CloudFront library only if it is used.
 * @throws UsageError if settings are missing, so that URLs are never unsigned by accident
 */
export async function signerOf(settings: SigningSettings): Promise<Signer | undefined> {
  const { CDN_BASE_URL: base, CDN_SIGNER: kind } = settings
  const required =
    kind === 'hmac' ? (['CDN_KEYS'] as const) : (['CLOUDFRONT_KEY_PAIR_ID', 'CLOUDFRONT_PRIVATE_KEY'] as const)
  const given = required.filter((name) => settings[name] !== undefined)
  if (base === undefined) {
    if (given.length > 0)
      throw new UsageError(`CDN_BASE_URL, the CDN's URL, must be set together with ${given.join(' and ')}`)
    return undefined
  }
  const { CDN_KEYS, CLOUDFRONT_KEY_PAIR_ID: keyPairId, CLOUDFRONT_PRIVATE_KEY: privateKey } = settings
  if (kind === 'hmac' && CDN_KEYS) return createHmacSigner(base, toSigningKeys(CDN_KEYS)[0])
  if (kind === 'cloudfront' && keyPairId && privateKey) {
    const { createCloudFrontSigner } = await import('./cloudfront-signer.ts')
    return createCloudFrontSigner(base, { keyPairId, privateKey, policy: settings.CLOUDFRONT_POLICY })
  }
  const missing = required.filter((name) => settings[name] === undefined)
  throw new UsageError(`CDN_BASE_URL with CDN_SIGNER=${kind} needs ${missing.join(' and ')}`)
}

function isBaseUrl(text: string): boolean {
  if (!/^https?:\/\/[^/]/i.test(text) || !URL.canParse(text)) return false
  const { search, hash, username, password } = new URL(text)
  return !search && !hash && !username && !password
}

/** Rejects an empty prefix, because it would sign every URL, as if CDN_PATHS were unset. */
function isPrefix(prefix: string): boolean {
  return !/[?#\s]/.test(prefix) && hasPlainSegments(prefix.replace(/\/$/, ''))
}

function isRsaKey(pem: string): boolean {
  try {
    return createPrivateKey(pem).asymmetricKeyType === 'rsa'
  } catch {
    return false
  }
}
