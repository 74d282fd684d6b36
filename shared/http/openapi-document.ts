import type { Hono } from 'hono'
import { generateSpecs } from 'hono-openapi'
import { version } from '../runtime/version.ts'
import type { AppEnv } from './app-env.ts'
import { securitySchemes } from './openapi.ts'

/** The tag for the common routes. */
export const OPERATIONS = 'operations'

const CONVENTIONS = `Every response has the header \`x-request-id\`. All errors have the shape \`Problem\`, \
some with additional fields. Any path can return these errors: 404 for an unknown path, 405 for an unsupported method \
(\`allow\` lists the supported methods), 403 for a state-changing request from a page on another origin, 421 for a \
\`Host\` that is not one of the service's names, 500 for an internal error, and 503 while the service is overloaded. A \
request with a body needs a \`content-length\`. A JSON body may have at most 65,536 bytes unless its operation says \
otherwise.`

/** Generates the OpenAPI document for `app`. */
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
      // Relative to the document, so that it is correct wherever the service listens.
      servers: [{ url: '/' }],
      security: [],
      tags: [
        { name, description: `The operations of ${name}` },
        { name: OPERATIONS, description: 'Health and metrics' },
      ],
    },
    defaultOptions: { GET: { tags: [name] }, POST: { tags: [name] }, DELETE: { tags: [name] } },
    defaultValidationErrorResponse: false,
    // Include undocumented routes, so that linting reports them.
    includeEmptyPaths: true,
    exclude: ['/openapi.json', /^\/docs/],
  })
  const operations = Object.values(document.paths ?? {}).flatMap((path) => Object.values(path ?? {}).map(Object))
  const parameters = operations.flatMap((operation) => operation.parameters ?? [])
  for (const parameter of parameters.filter((given) => given.in === 'path')) showExample(parameter)
  const used = new Set(operations.flatMap((operation) => operation.security ?? []).flatMap(Object.keys))
  const schemes = Object.fromEntries(Object.entries(securitySchemes).filter(([name]) => used.has(name)))
  return { ...document, components: { ...components, ...(used.size > 0 && { securitySchemes: schemes }) } }
}

/** Swagger UI fills in a parameter's example, but not the examples in the parameter's schema. */
function showExample(parameter: Record<string, unknown>): void {
  const [example] = Object(parameter.schema).examples ?? []
  if (example !== undefined) parameter.example = example
}
