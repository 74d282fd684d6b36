import type { Hono } from 'hono'
import { generateSpecs } from 'hono-openapi'
import { version } from '../runtime/version.ts'
import type { AppEnv } from './app-env.ts'
import { WRITE_TOKEN_SCHEME } from './openapi.ts'

/** The tag of the routes that every service has. */
export const OPERATIONS = 'operations'

const CONVENTIONS = `Every answer but a 431 has the header \`x-request-id\`. Errors have one shape, \`Problem\`: also the 404 of a path \
that is not there, the 405 of one that is there for other methods, which \`allow\` names, and a 500. A JSON body needs a \
\`content-length\` of at most 65,536 bytes; \`POST /events\` and \`POST /events/lookup\` take 4,194,304.`

/** The OpenAPI document of the routes of `app`. */
export async function createDocument(app: Hono<AppEnv>, name: string) {
  const { components, ...document } = await generateSpecs(app, {
    documentation: {
      openapi: '3.1.0',
      info: {
        title: name,
        version,
        description: `The HTTP interface of ${name}. ${CONVENTIONS}`,
        license: { name: 'MIT', identifier: 'MIT' },
      },
      // Relative to the document: right wherever the service listens.
      servers: [{ url: '/' }],
      security: [],
      tags: [
        { name, description: `What ${name} is there for` },
        { name: OPERATIONS, description: 'Health and metrics' },
      ],
    },
    defaultOptions: { GET: { tags: [name] }, POST: { tags: [name] }, DELETE: { tags: [name] } },
    defaultValidationErrorResponse: false,
    // A route that describes nothing is in the document too, where lint finds that it does not.
    includeEmptyPaths: true,
    exclude: ['/openapi.json', /^\/docs/],
  })
  const operations = Object.values(document.paths ?? {}).flatMap((path) => Object.values(path ?? {}))
  const isGuarded = operations.some((operation) => typeof operation === 'object' && 'security' in operation)
  const securitySchemes = isGuarded && { [WRITE_TOKEN_SCHEME]: { type: 'http', scheme: 'bearer' } }
  return { ...document, components: { ...components, ...(securitySchemes && { securitySchemes }) } }
}
