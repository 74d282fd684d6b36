import type { Context } from 'hono'
import { z } from 'zod'
import { headerOf } from '../../shared/http/request-context.ts'
import { UsageError } from '../../shared/runtime/command-line.ts'
import type { PlayEnv } from '../play-env.ts'
import type { Audience } from './entitlement.ts'

const HEADER_NAME_PATTERN = /^[!#$%&'*+.^_`|~0-9a-z-]{1,100}$/i

export const rightsSettings = {
  COUNTRY_HEADER: z
    .string()
    .regex(HEADER_NAME_PATTERN, { error: 'must be a header name, such as cf-ipcountry' })
    .transform((name) => name.toLowerCase())
    .optional()
    .meta({ description: "Header in which a trusted proxy names the viewer's country (ISO 3166-1 alpha-2)" }),
}

type Settings = { COUNTRY_HEADER?: string | undefined; TRUSTED_PROXIES?: object | undefined }

/** Returns what is known about the viewer of a request. */
export type ReadAudience = (c: Context<PlayEnv>) => Audience

/**
 * Reads the plan from the verified token, and the country from a header that only a trusted proxy may set.
 * @param isFromProxy returns true if the request has arrived from a trusted proxy
 * @throws UsageError if COUNTRY_HEADER is set without TRUSTED_PROXIES
 */
export function createReadAudience(
  { COUNTRY_HEADER: name, TRUSTED_PROXIES: proxies }: Settings,
  isFromProxy: (c: Context<PlayEnv>) => boolean,
): ReadAudience {
  if (name !== undefined && proxies === undefined) {
    throw new UsageError('TRUSTED_PROXIES must be set too: COUNTRY_HEADER is accepted only from trusted proxies')
  }
  return (c) => {
    const plan = c.get('viewer')?.plan
    const country = name !== undefined && isFromProxy(c) ? headerOf(c, name)?.toUpperCase() : undefined
    return { plan, country }
  }
}
