import { z } from 'zod'
import { isLoopback } from '../runtime/loopback.ts'
import { withoutBrackets } from '../runtime/origin.ts'

const FORM = 'must be host names or addresses without a port, separated by commas, such as edge.example.com'
const HOST_NAME_PATTERN = /^[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?$|^\[[\da-f:.]+\]$/

/** Host names in lower case; undefined if unset. */
export const allowedHosts = z
  .string()
  .transform((text) => text.split(',').map((name) => name.trim().toLowerCase()))
  .refine((names) => names.every((name) => HOST_NAME_PATTERN.test(name)), { error: FORM })
  .optional()
  .meta({
    description:
      'Names to accept in the Host header, besides loopback names, HOST and ADVERTISE_HOST; unset: any name if HOST is not loopback',
  })

export type HostSettings = { HOST: string; ALLOWED_HOSTS?: string[] | undefined; ADVERTISE_HOST?: string | undefined }

/**
 * Returns a function that accepts or rejects a request's Host header; undefined if every name is accepted.
 *
 * The check prevents DNS rebinding: any web site could resolve its own name to 127.0.0.1. The browser would then treat
 * a service on loopback as part of the site, so the site's pages could use the service.
 */
export function createHostCheck(settings: HostSettings): ((host: string) => boolean) | undefined {
  const { HOST, ALLOWED_HOSTS, ADVERTISE_HOST = HOST } = settings
  if (!ALLOWED_HOSTS && !isLoopback(HOST)) return undefined
  const names = new Set([HOST, ADVERTISE_HOST, ...(ALLOWED_HOSTS ?? [])].map((name) => toName(name)))
  return (host) => {
    const name = toName(host.replace(/:\d+$/, ''))
    return isLoopback(name) || names.has(name)
  }
}

function toName(host: string): string {
  return withoutBrackets(host.toLowerCase())
}
