import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { runCounts } from './harness/counts-command.ts'
import { eventually } from './harness/eventually.ts'
import { natsVersion } from './harness/nats-server.ts'
import { views } from './harness/plays.ts'
import { hasPostgres, type PostgresServer, startPostgres } from './harness/postgres.ts'
import { publishRaw } from './harness/raw-messages.ts'
import { type System, startSystem } from './harness/system.ts'
import { createTempDirectory } from './harness/temp-directory.ts'

describe.skipIf(!natsVersion || !hasPostgres)('npm run counts -- recount', () => {
  let system: System
  let postgres: PostgresServer
  beforeAll(async () => {
    ;[system, postgres] = await Promise.all([startSystem(), startPostgres()])
  })
  afterAll(async () => {
    await system?.[Symbol.asyncDispose]()
    await postgres?.[Symbol.asyncDispose]()
  })

  test('recognizes as many idempotency keys as KEYS_KEPT allows, in memory and in Postgres', async () => {
    // The last event is a retry of the first one.
    const events = ['first', 'second', 'first'].map((id, n) => toKeyedEvent(id, n + 1))
    await publishRaw(system.nats, [JSON.stringify(events)])
    await eventually(async () => expect(await views(system.reporting.url, 'user', 'keyed')).toBe(2))
    for (const DATABASE_URL of ['', await postgres.createDatabase()]) {
      await using directory = await createTempDirectory('recount')
      const env = { ...system.env, DATA_DIR: directory.path, DATABASE_URL, KEYS_KEPT: '1' }
      const { status, text } = await runCounts(env, 'recount', '--rules', 'v2')
      expect([status, text]).toEqual([0, expect.stringMatching(/^views +\d+ +\d+ +\+1$/m)])
    }
  })
})

function toKeyedEvent(id: string, serial: number) {
  const data = { assetId: '456', userId: 'keyed' }
  return { specversion: '1.0', id, source: '/tv', type: 'video.viewed', serial: String(serial), keyed: true, data }
}
