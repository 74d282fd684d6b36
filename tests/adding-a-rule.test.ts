import { readFile } from 'node:fs/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { jsonRequest } from '../shared/testing/json-request.ts'
import { eventually } from './harness/eventually.ts'
import { follow } from './harness/guide.ts'
import { natsVersion, startNatsServer } from './harness/nats-server.ts'
import { getJson } from './harness/plays.ts'
import { freePort } from './harness/ports.ts'
import { publishRaw } from './harness/raw-messages.ts'

const guide = await readFile('docs/adding-a-rule.md', 'utf8')

describe('following the guide to adding a view rule', { timeout: 120_000 }, () => {
  let project: Awaited<ReturnType<typeof follow>>
  beforeAll(async () => {
    project = await follow(guide)
  })
  afterAll(() => project?.[Symbol.asyncDispose]())

  test('yields a rule that passes the engine tests', () => project.passesTests('reporting/rules', 'reporting/engine'))

  test('yields a rule whose verdicts reporting serves', async () => {
    const env = { VIEW_RULES: 'v3', PORT: '0', DATA_DIR: 'data' }
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
      rule: 'v3',
      reason: 'burst',
      summary: 'Not qualified: the same user had started 20 plays within a minute, event view-0.',
    })
    expect(await getJson(`${url}/events/audit`)).toMatchObject({ qualified: 20, notQualified: { burst: 1 } })
  })

  test.skipIf(!natsVersion)(
    'yields a version of the rules that a recount can try before reporting uses it',
    async () => {
      await using nats = await startNatsServer()
      const port = await freePort()
      const REPORTING_URL = `http://127.0.0.1:${port}`
      const env = { NATS_URL: nats.url, DATA_DIR: 'recounted', REPORTING_URL }
      const startReporting = (rules: string) =>
        project.start(process.execPath, ['reporting/main.ts', '--port', String(port)], { ...env, VIEW_RULES: rules })
      const audit = () => getJson(`${REPORTING_URL}/events/audit`)
      await using before = startReporting('v1')
      await using listener = project.start(process.execPath, ['queue-listener/main.ts', '--port', '0'], env)
      await publishRaw(nats, [JSON.stringify(Array.from({ length: 25 }, (_, n) => toEvent(n)))])
      await eventually(async () => expect(await audit()).toMatchObject({ views: 25, qualified: 25 }))

      await using recount = project.start(process.execPath, ['scripts/counts/main.ts', 'recount', '--rules', 'v3'], env)
      expect(await recount.ended).toBe(0)
      const text = recount.lines.join('\n')
      expect(text).toMatch(/^views +25 +25 +0$/m)
      expect(text).toMatch(/^qualified +25 +20 +-5$/m)
      expect(text).toMatch(/^burst +0 +5 +\+5$/m)
      expect(await audit()).toMatchObject({ views: 25, qualified: 25, notQualified: {} })

      await before.signal('SIGTERM')
      await listener.signal('SIGTERM')
      // No queue-listener is running, so these are the counts that the recount saved.
      await using after = startReporting('v3')
      await eventually(async () => expect(await audit()).toMatchObject({ views: 25, notQualified: { burst: 5 } }))
      await after.signal('SIGTERM')
    },
  )
})

function toEvent(n: number) {
  const id = `view-${n}`
  return { specversion: '1.0', id, source: '/tv', type: 'video.viewed', data: { assetId: `asset-${n}`, userId: 'u' } }
}
