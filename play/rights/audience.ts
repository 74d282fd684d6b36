import type { Context } from 'hono'
import { z } from 'zod'
import { headerOf } from '../../shared/http/request-context.ts'
import type { PlayEnv } from '../play-env.ts'
import type { Audience } from './entitlement.ts'

const NAME = /^[!#$%&'*+.^_`|~0-9a-z-]{1,100}$/i

export const rightsSettings = {
  COUNTRY_HEADER: z
    .string()
    .regex(NAME, { error: 'must be the name of a header, such as cf-ipcountry' })
    .transform((name) => name.toLowerCase())
    .optional()
    .meta({ description: 'Header in which a trusted proxy names the country of the viewer (ISO 3166-1 alpha-2)' }),
}

/** What is known about the viewer of a request. */
export type ReadAudience = (c: Context<PlayEnv>) => Audience

/**
 * Reads the plan from the verified token, and the country from a header that only a trusted proxy may set.
 * @param isFromProxy returns true if the request has arrived from a trusted proxy
 */
export function createReadAudience(
  { COUNTRY_HEADER: name }: { COUNTRY_HEADER?: string | undefined },
  isFromProxy: (c: Context<PlayEnv>) => boolean,
): ReadAudience {
  return (c) => {
    const plan = c.get('viewer')?.plan
    const country = name !== undefined && isFromProxy(c) ? headerOf(c, name)?.toUpperCase() : undefined
    return { plan, country }
  }
}
