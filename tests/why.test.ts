import { resolve } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startHttpServer } from '../shared/testing/http-server.ts'
import { startChild } from './harness/child.ts'
import { eventually } from './harness/eventually.ts'
import { natsVersion } from './harness/nats-server.ts'
import { views, warmUp } from './harness/plays.ts'
import { publishRaw } from './harness/raw-messages.ts'
import { type System, startSystem } from './harness/system.ts'

describe.skipIf(!natsVersion)('npm run why', () => {
  let system: System
  let ids: string[]
  beforeAll(async () => {
    system = await startSystem()
    await warmUp(system.play.url)
    ids = [await playedBy('8'), await playedBy('8')]
    await eventually(async () => expect(await views(system.reporting.url, 'user', '8')).toBe(2))
  })
  afterAll(() => system?.[Symbol.asyncDispose]())

  async function playedBy(userId: string): Promise<string> {
    const response = await fetch(`${system.play.url}/play/asset/456/user/${userId}`, { method: 'POST' })
    return response.headers.get('view-id') ?? ''
  }

  const why = (...args: string[]) => whyAt(system.reporting.url, ...args)

  async function whyAt(REPORTING_URL: string, ...args: string[]) {
    const script = resolve('scripts/why/main.ts')
    const env = { PLAY_URL: system.play.url, REPORTING_URL }
    await using child = startChild(process.execPath, [script, ...args], { env })
    return { status: await child.ended, text: child.lines.join('\n') }
  }

  test('explains a view that qualifies, and one that does not', async () => {
    const [first = '', second = ''] = ids
    const qualified = await why(first)
    expect(qualified).toMatchObject({
      status: 0,
      text: expect.stringMatching(/^Qualified: it passes all v1 view rules\.$/m),
    })
    const { status, text } = await why(second)
    expect(status).toBe(0)
    expect(text).toMatch(
      new RegExp(`^Not qualified: the same user played the same asset \\S+ s before, event ${first}\\.$`, 'm'),
    )
    expect(text).toContain('Play: asset 456 by user 8 at 20')
    expect(text).toContain(`Decided by: npm run why -- ${first}`)
  })

  test('explains the counts of a user and an asset', async () => {
    expect((await why('user/8')).text).toMatch(
      /^User 8: 2 views, of which 1 qualified\.\nThe rest: 1 view that did not qualify/,
    )
    expect((await why('asset/456')).text).toMatch(
      /^Asset 456: \d+ views, of which 2 qualified\..*\n.*\nBy 2 distinct users\.$/,
    )
  })

  test('prints an id with control characters and line breaks on a single line', async () => {
    const event = { specversion: '1.0', source: '/tv', type: 'video.viewed', data: { assetId: '456', userId: 'tv' } }
    const hostile = 'first\u001b[2K\nQualified: it passes all view rules'
    await publishRaw(system.nats, [
      JSON.stringify([
        { ...event, id: hostile },
        { ...event, id: 'second' },
      ]),
    ])
    await eventually(async () => expect(await views(system.reporting.url, 'user', 'tv')).toBe(2))
    const { text } = await why('second')
    expect(text).toContain('Decided by: npm run why -- first\\u001b[2K Qualified: it passes all view rules')
    expect(text).not.toMatch(/^Qualified/m)
  })

  test('reports that a different program responds in place of reporting, or that nothing responds', async () => {
    await using other = await startHttpServer((_, response) => response.end('<html>It works!</html>'))
    expect(await whyAt(other.url, 'user/8')).toEqual({
      status: 1,
      text: `reporting at ${other.url} is a different program`,
    })
    expect((await whyAt('http://127.0.0.1:9', 'user/8')).text).toBe(
      'reporting at http://127.0.0.1:9 did not respond: ECONNREFUSED',
    )
  })

  test.each([
    [['unknown-view'], 1, 'View unknown-view is unknown.'],
    [['asset/unknown'], 1, 'Asset not found'],
    [['asset/..'], 2, 'neither a view id'],
    [['asset/456/user/8'], 2, 'neither a view id'],
    [[], 2, 'expected one argument'],
  ])('%j exits with status %i', async (args, status, text) => {
    expect(await why(...args)).toMatchObject({ status, text: expect.stringContaining(text) })
  })
})
