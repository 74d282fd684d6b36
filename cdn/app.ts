import type { HttpBindings } from '@hono/node-server'
import { type Context, Hono } from 'hono'
import verifier from '../deploy/cdn/verify.js'
import type { Logger } from '../shared/runtime/log.ts'
import { findMedia, type Media } from './media.ts'
import { readRange } from './range.ts'

type Deps = {
  /** Maps each key id to its secret. */
  keys: Readonly<Record<string, string>>
  /** The media directory. */
  root: string
  log: Logger
}

type Env = { Bindings: HttpBindings }

const HEADERS = { 'access-control-allow-origin': '*', 'x-content-type-options': 'nosniff' }
const PREFLIGHT_HEADERS = {
  'access-control-allow-methods': 'GET, HEAD',
  'access-control-allow-headers': 'range',
  'access-control-max-age': '86400',
}

/** A CDN edge that behaves like nginx with deploy/cdn/nginx.conf: it serves only signed URLs. */
export function createApp({ keys, root, log }: Deps) {
  async function respond(c: Context<Env>, target: string): Promise<Response> {
    const { method } = c.req
    if (method === 'OPTIONS') return c.body(null, 204, PREFLIGHT_HEADERS)
    if (method !== 'GET' && method !== 'HEAD') return c.text('Method not allowed', 405, { allow: 'GET, HEAD, OPTIONS' })
    const now = Date.now() / 1_000
    const status = verifier.verify(target, keys, now)
    if (status !== 200) return c.text(status === 410 ? 'Gone' : 'Forbidden', status)
    const media = await findMedia(root, verifier.describe(target).path)
    if (!media) return c.text('Not found', 404)
    return send(c, media, `public, max-age=${verifier.maxAge(target, now)}`)
  }

  return new Hono<Env>().all('*', async (c) => {
    for (const [name, value] of Object.entries(HEADERS)) c.header(name, value)
    c.header('cache-control', 'no-store')
    // Verify the raw request target, because Hono normalizes `c.req.url`.
    const target = c.env.incoming.url ?? ''
    const response = await respond(c, target)
    log.debug({ ...verifier.describe(target), method: c.req.method, status: response.status }, 'request')
    return response
  })
}

/** Handles conditional and range requests (RFC 9110, sections 13 and 14). */
function send(c: Context<Env>, media: Media, cacheControl: string): Response {
  const { size, etag, modified, type } = media
  const headers = { 'cache-control': cacheControl, etag, 'last-modified': modified }
  if (isUnchanged(c, media)) return c.body(null, 304, headers)
  const ifRange = c.req.header('if-range')
  const isRangeValid = ifRange === undefined || ifRange === etag || ifRange === modified
  const range = readRange(isRangeValid ? c.req.header('range') : undefined, size)
  if (range === 'unsatisfiable')
    return c.body(null, 416, { 'content-range': `bytes */${size}`, 'cache-control': 'no-store' })
  const { start, end } = range ?? { start: 0, end: size - 1 }
  const described = {
    ...headers,
    'content-type': type,
    'content-length': String(end - start + 1),
    'accept-ranges': 'bytes',
  }
  const body = c.req.method === 'HEAD' || size === 0 ? null : media.read(start, end)
  if (!range) return c.newResponse(body, 200, described)
  return c.newResponse(body, 206, { ...described, 'content-range': `bytes ${start}-${end}/${size}` })
}

function isUnchanged(c: Context<Env>, { etag, modified }: Media): boolean {
  const etags = c.req.header('if-none-match')
  if (etags === undefined) return c.req.header('if-modified-since') === modified
  return etags === '*' || etags.split(',').some((text) => text.trim().replace(/^W\//, '') === etag)
}
