import { resolve } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startChild } from './harness/child.ts'
import { eventually } from './harness/eventually.ts'
import { natsVersion } from './harness/nats-server.ts'
import { views, warmUp } from './harness/plays.ts'
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

  async function why(...args: string[]) {
    const script = resolve('scripts/why/main.ts')
    const env = { PLAY_URL: system.play.url, REPORTING_URL: system.reporting.url }
    await using child = startChild(process.execPath, [script, ...args], { env })
    return { status: await child.ended, text: child.lines.join('\n') }
  }

  test('explains a view that qualifies, and one that does not', async () => {
    const [first = '', second = ''] = ids
    const qualified = await why(first)
    expect(qualified).toMatchObject({
      status: 0,
      text: expect.stringMatching(/^Qualified: it passes all view rules of v1\.$/m),
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
      /^User 8: 2 views, of which 1 qualified\.\nThe rest: 1 view that did not pass/,
    )
    expect((await why('asset/456')).text).toMatch(
      /^Asset 456: \d+ views, of which 2 qualified\..*\n.*\nBy 2 distinct users\.$/,
    )
  })

  test.each([
    [['unknown-view'], 1, 'No view unknown-view is known.'],
    [['asset/unknown'], 1, 'Asset not found'],
    [['asset/..'], 2, 'neither a view id'],
    [[], 2, 'expected one argument'],
  ])('%j exits with status %i', async (args, status, text) => {
    expect(await why(...args)).toMatchObject({ status, text: expect.stringContaining(text) })
  })
})
