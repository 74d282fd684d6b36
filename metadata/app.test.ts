import { describe, expect, test } from 'vitest'
import { createMapStore } from '../shared/stores/map-store.ts'
import { describeCatalogue } from '../shared/testing/catalogue-app.test-suite.ts'
import { expectProblem } from '../shared/testing/expect-problem.ts'
import { jsonRequest } from '../shared/testing/json-request.ts'
import { createTestService } from '../shared/testing/test-service.ts'
import { createApp } from './app.ts'
import { seed } from './seed.ts'

const alien = { title: 'Alien', genre: 'horror', summary: 'In space' }

describeCatalogue({
  createApp,
  name: 'metadata',
  path: '/content',
  examples: [alien, { title: 'x'.repeat(300), genre: 'y'.repeat(300), summary: '' }],
})

test('metadata starts with two assets', async () => {
  const response = await setUp().request('/content/assets')
  expect(await response.json()).toEqual({
    assets: [
      { id: '123', title: 'It', genre: 'horror', summary: 'A very scary movie' },
      { id: '456', title: 'Terminator', genre: 'action', summary: 'Summary for terminator' },
    ],
    next: null,
  })
})

describe('an asset', () => {
  const post = (fields: object) => setUp().request('/content/asset/9', jsonRequest({ ...alien, ...fields }))

  test.each([
    ['title', 1, 300],
    ['genre', 1, 300],
    ['summary', 0, 5_000],
  ])('may have a %s of %i to %i characters', async (field, least, most) => {
    for (const length of [least, most]) expect((await post({ [field]: 'x'.repeat(length) })).status).toBe(200)
    if (least > 0) await expectProblem(await post({ [field]: '' }), 400, [field])
    await expectProblem(await post({ [field]: 'x'.repeat(most + 1) }), 400, [field])
  })

  test('is rejected with an error for each invalid field', async () => {
    await expectProblem(await post({ title: '', genre: 1, summary: null }), 400, ['title', 'genre', 'summary'])
  })

  test('has field limits, which openapi.json documents', async () => {
    const document = await (await setUp().request('/openapi.json')).json()
    expect(document).toMatchObject({
      components: {
        schemas: {
          MetadataFields: {
            properties: {
              title: { minLength: 1, maxLength: 300 },
              genre: { minLength: 1, maxLength: 300 },
              summary: { maxLength: 5_000 },
            },
            required: ['title', 'genre', 'summary'],
            additionalProperties: false,
          },
        },
      },
    })
  })
})

function setUp() {
  const invalidations = { publish() {}, subscribe() {} }
  return createApp({ ...createTestService('metadata'), store: createMapStore(seed), invalidations })
}
