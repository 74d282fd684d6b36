import { z } from 'zod'
import { type Secret, toSecret } from '../../shared/runtime/secret.ts'
import { secretMeta } from '../../shared/runtime/secret-settings.ts'
import { count, duration } from '../../shared/runtime/settings.ts'

const FORM =
  'must be a Postgres URL such as postgres://user:password@127.0.0.1:5432/counts, with hosts separated by commas and special characters in the password percent-encoded'
const PARTS = /^(postgres(?:ql)?:\/\/)([^\s/@]*@)?([^\s/@?#]+)(\/[^\s/?#]+)(\?\S*)?$/i
const HOST = /^(\[[\da-f:]+\]|[^\s:[\]]+)(:\d{1,5})?$/i
/** The values of target_session_attrs that are treated as read-write, because the store writes. */
const TARGETS = [null, 'any', 'primary', 'read-write']

/** The Postgres URL, parsed into one URL per host. When printed, each URL shows only its host and database. */
export const databaseUrl = z
  .string({ error: FORM })
  .transform((text, context) => {
    const urls = toHostUrls(text)
    if (!urls) context.addIssue({ code: 'custom', message: FORM })
    return (urls ?? []).map(toDatabaseUrl)
  })
  .optional()
  .meta(
    secretMeta(
      'Postgres URL for the counts; if it lists several hosts, separated by commas, the one that accepts writes is used; unset: counts in memory',
      'credentials',
    ),
  )

/** @param url one host's URL */
export function toDatabaseUrl(url: string): Secret {
  const { host, pathname } = new URL(url)
  return toSecret(url, host + pathname)
}

export const databasePool = count(10, 'Maximum number of connections to Postgres', 1_000)

const MIN_VERDICTS_MAX_AGE_MS = 3_600_000

export const verdictsMaxAge = duration(
  '90d',
  'How long Postgres keeps the verdict on each view; verdicts are deleted a whole day at a time; at least 1h',
).refine((ms) => ms >= MIN_VERDICTS_MAX_AGE_MS, { error: 'must be at least 1h' })

function toHostUrls(text: string): string[] | undefined {
  const [, scheme, credentials = '', hosts = '', path, query = ''] = PARTS.exec(text) ?? []
  if (!hosts.split(',').every((host) => HOST.test(host))) return undefined
  const parameters = new URLSearchParams(query)
  if (!TARGETS.includes(parameters.get('target_session_attrs'))) return undefined
  parameters.delete('target_session_attrs')
  const rest = parameters.size > 0 ? `?${parameters}` : ''
  const urls = hosts.split(',').map((host) => `${scheme}${credentials}${host}${path}${rest}`)
  return urls.every((url) => URL.canParse(url)) ? urls : undefined
}
