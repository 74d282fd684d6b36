import type { NewService } from './new-service.ts'

/** The new files of a service, by path. */
export function toFiles(service: NewService): Map<string, string> {
  return service.kind === 'catalogue' ? toCatalogue(service) : toEmpty(service)
}

function toCatalogue({ name, identifier, type }: NewService): Map<string, string> {
  const entry = name.includes('-') ? `services['${name}']` : `services.${name}`
  const contract = `../shared/contracts/${name}.ts`
  return new Map([
    [
      `shared/contracts/${name}.ts`,
      `import { z } from 'zod'
import { AssetId } from './ids.ts'

/** What ${name} stores for an asset; also the body of a POST. */
export const ${type}Fields = z
  .strictObject({ text: z.string().min(1).max(300) })
  .meta({ id: '${type}Fields', examples: [{ text: 'an example' }] })
export type ${type}Fields = z.infer<typeof ${type}Fields>

/** What ${name} returns for an asset. */
export const ${type} = z
  .object({ id: AssetId, ...${type}Fields.shape })
  .meta({ id: '${type}', examples: [{ id: '456', text: 'an example' }] })
export type ${type} = z.infer<typeof ${type}>
`,
    ],
    [
      `${name}/app.ts`,
      `import { type CatalogueDeps, createCatalogueApp } from '../shared/catalogue/catalogue-app.ts'
import { ${type}, ${type}Fields } from '${contract}'

/** The ${name} routes. */
export function createApp(deps: CatalogueDeps<${type}Fields>) {
  return createCatalogueApp({ path: '/${name}', fields: ${type}Fields, entry: ${type} }, deps)
}
`,
    ],
    [
      `${name}/service.ts`,
      `import { services } from '../services.ts'
import { defineCatalogueService } from '../shared/catalogue/catalogue-service.ts'
import { ${type}Fields } from '${contract}'
import { createApp } from './app.ts'

export const ${identifier} = defineCatalogueService({ ...${entry}, fields: ${type}Fields, seed: [], createApp })
`,
    ],
    [`${name}/main.ts`, toMain(identifier)],
    [
      `${name}/app.test.ts`,
      `import { expect, test } from 'vitest'
import { createLocalInvalidations } from '../shared/catalogue/local-invalidations.ts'
import { createMapStore } from '../shared/stores/map-store.ts'
import { describeCatalogue } from '../shared/testing/catalogue-app.test-suite.ts'
import { jsonRequest } from '../shared/testing/json-request.ts'
import { createTestService } from '../shared/testing/test-service.ts'
import { createApp } from './app.ts'

describeCatalogue({ createApp, name: '${name}', path: '/${name}', examples: [{ text: 'first' }, { text: 'x'.repeat(300) }] })

test.each(['', 'x'.repeat(301), 4, null])('the text %j is invalid', async (text) => {
  const invalidations = createLocalInvalidations()
  const app = createApp({ ...createTestService('${name}'), store: createMapStore(), invalidations })
  expect((await app.request('/${name}/asset/9', jsonRequest({ text }))).status).toBe(400)
})
`,
    ],
  ])
}

function toEmpty({ name, identifier }: NewService): Map<string, string> {
  const entry = name.includes('-') ? `services['${name}']` : `services.${name}`
  return new Map([
    [
      `${name}/app.ts`,
      `import { createBaseApp } from '../shared/http/base-app.ts'
import type { Service } from '../shared/service/service.ts'

/** The ${name} routes: so far, only the routes that all services have. */
export function createApp(service: Service) {
  return createBaseApp(service)
}
`,
    ],
    [
      `${name}/service.ts`,
      `import { services } from '../services.ts'
import type { CommonSettings } from '../shared/service/run-service.ts'
import { serve } from '../shared/service/serve.ts'
import type { Service } from '../shared/service/service.ts'
import { createApp } from './app.ts'

export const ${identifier} = {
  ...${entry},
  /** The settings of this service only. The settings that all services share are added to them. */
  settings: {},
  start: (service: Service, settings: CommonSettings) => serve(createApp(service), service, settings),
}
`,
    ],
    [`${name}/main.ts`, toMain(identifier)],
    [
      `${name}/app.test.ts`,
      `import { expect, test } from 'vitest'
import { createTestService } from '../shared/testing/test-service.ts'
import { createApp } from './app.ts'

const app = createApp(createTestService('${name}'))

test('${name} is alive and ready', async () => {
  for (const path of ['/healthz', '/readyz']) expect((await app.request(path)).status).toBe(200)
})

test('${name} describes its routes in openapi.json', async () => {
  const document = await (await app.request('/openapi.json')).json()
  expect(document).toMatchObject({ info: { title: '${name}' }, paths: { '/healthz': {}, '/readyz': {}, '/metrics': {} } })
})
`,
    ],
  ])
}

function toMain(identifier: string): string {
  return `import { runService } from '../shared/service/run-service.ts'
import { ${identifier} } from './service.ts'

await runService(${identifier})
`
}
