import { join } from 'node:path'
import { serveStatic } from '@hono/node-server/serve-static'
import { Hono } from 'hono'
import absolutePath from 'swagger-ui-dist/absolute-path.js'
import type { AppEnv } from './app-env.ts'
import { problem } from './errors.ts'
import { createDocument } from './openapi-document.ts'

/** `/openapi.json`, generated from the routes of `app` on first use, and `/docs`, which renders it offline. */
export function docs(app: Hono<AppEnv>, { name }: { name: string }): Hono<AppEnv> {
  let document: ReturnType<typeof createDocument> | undefined
  const serve = serveStatic<AppEnv>({
    root: '/',
    rewriteRequestPath: (path) => join(absolutePath(), path.replace('/docs/', '')),
  })
  return new Hono<AppEnv>()
    .get('/openapi.json', async (c) => {
      document ??= createDocument(app, name)
      return c.json(await document)
    })
    .get('/docs', (c) => c.html(page(name), 200, { 'content-security-policy': DOCS_POLICY }))
    .get('/docs/start.js', (c) => c.body(START, 200, { 'content-type': 'text/javascript' }))
    .on('GET', ['/docs/swagger-ui.css', '/docs/swagger-ui-bundle.js'], async (c, next) => {
      const response = await serve(c, next)
      return response?.status === 416 ? problem(c, 416) : response
    })
}

/** Swagger UI uses inline styles, and embeds its icons as data URLs. */
export const DOCS_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self' 'unsafe-inline'",
  "connect-src 'self'",
  "img-src 'self' data:",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ')

function page(name: string): string {
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>${name}: API</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/docs/swagger-ui.css">
<div id="docs"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</html>
`
}

const START = `SwaggerUIBundle({ url: '/openapi.json', dom_id: '#docs' })\n`
