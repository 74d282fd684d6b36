import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { Hono } from 'hono'
import { describeRoute } from 'hono-openapi'
import { z } from 'zod'
import { serviceEntries, services } from '../../services.ts'
import type { ServiceClient } from '../../shared/client/service-client.ts'
import type { AppEnv } from '../../shared/http/app-env.ts'
import { DOCS_POLICY } from '../../shared/http/docs.ts'
import { problem } from '../../shared/http/errors.ts'
import { parseSafely } from '../../shared/runtime/parse-safely.ts'
import { UnavailableError } from '../../shared/runtime/unavailable-error.ts'

/** The timeout is long, because a service generates its document on the first request. */
const TIMEOUT_MS = 2_000

const Document = z.looseObject({ info: z.looseObject({ description: z.string() }) })

export type ApiClients = Record<string, Pick<ServiceClient, 'name' | 'getAll'>>

/** `/api`: the OpenAPI documents of all services on one page. The page itself is not part of the API. */
export function createApiPage(clients: ApiClients) {
  const undocumented = describeRoute({ hide: true })
  const otherClients = Object.values(clients).filter(({ name }) => name !== services.play.name)

  /** Returns the document of the first instance that responds with one. */
  async function readDocument(client: ApiClients[string]) {
    const responses = await client.getAll('/openapi.json', AbortSignal.timeout(TIMEOUT_MS))
    for (const { url, response } of responses) {
      const document = parseSafely(Document, response?.body).data
      if (document) return withLocation(document, url)
    }
    throw new UnavailableError(`${client.name} did not return its OpenAPI document`)
  }

  const app = new Hono<AppEnv>()
  app.get('/api', undocumented, (c) => c.html(PAGE, 200, { 'content-security-policy': DOCS_POLICY }))
  app.get('/api/start.js', undocumented, (c) => c.body(START, 200, { 'content-type': 'text/javascript' }))
  app.get('/api/preset.js', undocumented, async (c) => {
    const preset = createRequire(import.meta.url).resolve('swagger-ui-dist/swagger-ui-standalone-preset.js')
    return c.body(await readFile(preset), 200, { 'content-type': 'text/javascript', 'cache-control': 'max-age=3600' })
  })
  app.get('/api/documents/:service', undocumented, async (c) => {
    const client = otherClients.find(({ name }) => name === c.req.param('service'))
    return client ? c.json(await readDocument(client)) : problem(c, 404)
  })
  return app
}

/** The CSP lets this page call only the edge, so the description links to an instance's documentation. */
function withLocation({ info, ...document }: z.infer<typeof Document>, url: string) {
  const description = `To try these calls, open [this instance's documentation](${url}/docs).\n\n${info.description}`
  return { ...document, info: { ...info, description }, servers: [{ url }] }
}

const PAGE = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>API of all services</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/docs/swagger-ui.css">
<div id="docs"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/api/preset.js"></script>
<script src="/api/start.js"></script>
</html>
`

const OWN = '/openapi.json'
const documents = serviceEntries.map(({ name }) => ({
  name,
  url: name === services.play.name ? OWN : `/api/documents/${name}`,
}))

const START = `
const play = ${JSON.stringify(services.play.name)}
SwaggerUIBundle({
  urls: ${JSON.stringify(documents)},
  'urls.primaryName': new URLSearchParams(location.search).get('urls.primaryName') ?? play,
  dom_id: '#docs',
  layout: 'StandaloneLayout',
  presets: [SwaggerUIBundle.presets.apis, SwaggerUIStandalonePreset],
  plugins: [
    SwaggerUIBundle.plugins.DownloadUrl,
    // Only calls to play can be tried on this page, because the other services have different origins.
    () => ({
      statePlugins: {
        spec: {
          wrapSelectors: {
            allowTryItOutFor: (isAllowed, { specSelectors }) => (...of) =>
              specSelectors.url() === ${JSON.stringify(OWN)} && isAllowed(...of),
          },
        },
      },
    }),
  ],
})
`
