import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { extname, join } from 'node:path'
import { type Context, Hono } from 'hono'
import { describeRoute } from 'hono-openapi'
import { serviceEntries, services } from '../services.ts'
import type { AppEnv } from '../shared/http/app-env.ts'
import { describeOperation } from '../shared/http/openapi.ts'

const DIRECTORY = join(import.meta.dirname, 'page')

const types: Record<string, string> = {
  '.html': 'text/html; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.svg': 'image/svg+xml',
}

/**
 * Blocks XSS: scripts load only from this origin, and Trusted Types prevent text, such as a title, from becoming HTML.
 * hls.js requests playlists and segments from the CDN, and passes media to the video as blobs and captions as data URLs.
 */
function toPolicy(cdnOrigin: string | undefined): string {
  return [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    `connect-src 'self'${cdnOrigin ? ` ${cdnOrigin}` : ''}`,
    "img-src 'self'",
    'media-src http: https: blob: data:',
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
  ].join('; ')
}

/** The page's files are not part of the API. */
const undocumented = describeRoute({ hide: true })

/**
 * The console at `/`, and its files under `/console/`. Each file has its own route, so no other file can be read.
 * @param cdnOrigin the origin from which the page may load playlists and segments
 */
export function createPage(cdnOrigin?: string) {
  const serveContent = createContentServer(toPolicy(cdnOrigin))
  const page = new Hono<AppEnv>()
  page.get(
    '/',
    describeOperation({
      operationId: 'getConsole',
      summary: 'The console: a page that plays assets and shows live counts',
      responses: { 200: { type: 'text/html', example: '<!doctype html>' } },
    }),
    serveContent(readPage('index.html'), '.html'),
  )
  page.get('/tour', undocumented, serveContent(readPage('tour.html'), '.html'))
  for (const [name, file] of files())
    page.get(`/console/${name}`, undocumented, serveContent(readFileSync(file), extname(name)))
  return page
}

/** Returns a page with the shared head and the diagram's services filled in. */
function readPage(name: string): string {
  const read = (file: string) => readFileSync(join(DIRECTORY, file), 'utf8')
  return read(name).replace('<!-- head -->\n', read('head.html')).replace('<!-- services -->', toServices())
}

/** The diagram shows every service. All except play and queue-listener are upstreams of play. */
function toServices(): string {
  const items = serviceEntries.map(({ name, role }) => {
    const isUpstream = name !== services.play.name && name !== services['queue-listener'].name
    return `<li class="component" data-component="${name}"${isUpstream ? ' data-upstream' : ''}>\
<b>${name}</b><span class="role">${role}</span><span class="state"></span></li>`
  })
  return items.join('')
}

function files(): [name: string, file: string][] {
  const { resolve } = createRequire(import.meta.url)
  const all = readdirSync(DIRECTORY, { recursive: true, encoding: 'utf8' })
  const own = all.filter((name) => types[extname(name)] && extname(name) !== '.html')
  return [
    ...own.map((name): [string, string] => [name, join(DIRECTORY, name)]),
    ['uplot.js', resolve('uplot/dist/uPlot.esm.js')],
    ['uplot.css', resolve('uplot/dist/uPlot.min.css')],
    ['hls.js', resolve('hls.js/dist/hls.min.mjs')],
  ]
}

/** Browsers revalidate files on each load, because no build step adds a version to the file names. */
function createContentServer(policy: string) {
  return (content: string | Buffer<ArrayBuffer>, extension: string) => {
    const etag = `"${createHash('sha256').update(content).digest('base64url')}"`
    const headers = {
      'content-type': types[extension] ?? 'application/octet-stream',
      'cache-control': 'no-cache',
      etag,
      'content-security-policy': policy,
      'referrer-policy': 'no-referrer',
    }
    return (c: Context<AppEnv>) =>
      c.req.header('if-none-match')?.includes(etag) ? c.body(null, 304, headers) : c.body(content, 200, headers)
  }
}
