import { readFile } from 'node:fs/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { jsonRequest } from '../shared/testing/json-request.ts'
import { follow } from './harness/guide.ts'
import { getJson } from './harness/plays.ts'

const guide = await readFile('docs/adding-a-rule.md', 'utf8')

describe('the guide to adding a view rule', { timeout: 120_000 }, () => {
  let project: Awaited<ReturnType<typeof follow>>
  beforeAll(async () => {
    project = await follow(guide)
  })
  afterAll(() => project?.[Symbol.asyncDispose]())

  test('adds a rule that passes the tests of the engine', () =>
    project.passesTests('reporting/rules', 'reporting/engine'))

  test('adds a rule whose verdicts reporting serves', async () => {
    const env = { VIEW_RULES: 'v2', PORT: '0', DATA_DIR: 'data' }
    await using reporting = project.start(process.execPath, ['reporting/main.ts'], env)
    const url = await reporting.line((line) =>
      line.includes('"listening"') ? String(JSON.parse(line).url) : undefined,
    )
    const views = Array.from({ length: 21 }, (_, n) => ({
      id: `view-${n}`,
      assetId: `asset-${n}`,
      userId: 'u',
      at: new Date(Date.parse('2026-11-20T21:00:00Z') + n).toISOString(),
    }))
    const counted = await fetch(`${url}/events`, jsonRequest({ stream: 's', after: 0, through: 1, views }))
    expect(counted.status).toBe(200)
    expect(await getJson(`${url}/events/views/view-20`)).toMatchObject({
      rule: 'v2',
      reason: 'burst',
      summary: 'Not qualified: the same user had started 20 plays within a minute, event view-0.',
    })
    expect(await getJson(`${url}/events/audit`)).toMatchObject({ qualified: 20, notQualified: { burst: 1 } })
  })
})
