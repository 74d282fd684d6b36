import { readFile } from 'node:fs/promises'
import { Ajv } from 'ajv'
import addFormats from 'ajv-formats'
import { expect, test } from 'vitest'
import { parse } from 'yaml'
import { z } from 'zod'
import { MAX_VIEWS_PER_BATCH } from '../shared/contracts/view.ts'
import { DEAD_LETTERS, VIEWS } from '../shared/event-log/stream.ts'
import { BATCH_CONTENT_TYPE, decodeViews, ViewEvent, WatchEvent } from '../shared/event-log/view-events.ts'
import { version } from '../shared/runtime/version.ts'
import { expectNoLintFindings } from './harness/lint.ts'

const file = 'docs/asyncapi.yaml'
const document = parse(await readFile(file, 'utf8'))
const { messages, schemas } = document.components
const now = '2026-11-20T21:00:00.000Z'

test('docs/asyncapi.yaml has no lint findings', () => expectNoLintFindings(file))

test('the event schemas match the schemas that parse the log', () => {
  for (const [name, event] of Object.entries({ ViewEvent, WatchEvent })) {
    const { $schema, ...schema } = z.toJSONSchema(event, { target: 'draft-07', io: 'input' })
    expect(schemas[name]).toEqual(schema)
  }
  expect(messages.batch.payload).toEqual({
    type: 'array',
    items: { oneOf: ['ViewEvent', 'WatchEvent'].map((name) => ({ $ref: `#/components/schemas/${name}` })) },
    minItems: 1,
    maxItems: MAX_VIEWS_PER_BATCH,
  })
})

test('subjects, content type and version match the code', () => {
  const { views, rejected, changes } = document.channels
  expect(document.info.version).toBe(version)
  expect(views.address).toBe(VIEWS.replace('>', '{producer}'))
  expect(rejected.address).toBe(DEAD_LETTERS)
  expect(changes.address).toBe('changes.{service}.{id}')
  expect([messages.batch.contentType, document.defaultContentType]).toEqual([BATCH_CONTENT_TYPE, BATCH_CONTENT_TYPE])
})

test.each(['batch', 'single'])(
  'the examples of a %s message are valid and parse as views or watch-time reports',
  (name) => {
    const ajv = addFormats.default(new Ajv({ strict: true })).addVocabulary(['components'])
    const isValid = ajv.compile({ ...messages[name].payload, components: document.components })
    expect(messages[name].examples.length).toBeGreaterThan(0)
    for (const { payload } of messages[name].examples) {
      expect(isValid(payload)).toBe(true)
      const { views, watched = [] } = decodeViews(Buffer.from(JSON.stringify(payload)), now)
      expect([...views, ...watched]).toHaveLength([payload].flat().length)
    }
  },
)

test('the message in docs/events.md parses as a view', async () => {
  const [, message = ''] = /^```json\n(.*?)^```/ms.exec(await readFile('docs/events.md', 'utf8')) ?? []
  expect(decodeViews(Buffer.from(message), '').views).toEqual([
    {
      id: '0b7a8a60-6d27-4a3c-9a3e-1f0c5d2b7e41',
      assetId: '456',
      userId: '8',
      at: now,
      producer: 'Q1WAZ5Y7C8N3S9B2K4X6E0',
      serial: 42,
    },
  ])
})

test('the watch-time example in docs/events.md parses as a watch-time report', async () => {
  const [, message = ''] = /^```json\n(\{.*?)^```/ms.exec(await readFile('docs/events.md', 'utf8')) ?? []
  expect(decodeViews(Buffer.from(message), now).watched).toMatchObject([{ assetId: '456', userId: '8', seconds: 31 }])
})
