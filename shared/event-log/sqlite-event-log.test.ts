import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { pino } from 'pino'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { eventLogSuite, idsOf, idsOfViews, readViews, someViews } from './event-log.test-suite.ts'
import { createSqliteEventLog } from './sqlite-event-log.ts'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'event-log-'))
})
afterEach(() => rm(folder, { recursive: true, force: true }))

const open = () =>
  createSqliteEventLog({
    file: join(folder, 'data', 'events.sqlite'),
    log: pino({ level: 'silent' }),
    producer: 'test',
  })

describe('the SQLite event log', () => {
  eventLogSuite(() => ({ open, wipe: () => rm(join(folder, 'data'), { recursive: true }) }))

  test('a message that is no batch of views is skipped and counted', async () => {
    await using log = open()
    const views = someViews(2)
    await log.append(views.slice(0, 1), new AbortController().signal)
    const other = new DatabaseSync(join(folder, 'data', 'events.sqlite'))
    other.exec("INSERT INTO messages (data, stored_at) VALUES ('not json', '2026-11-20T21:00:00Z')")
    other.close()
    await log.append(views.slice(1), new AbortController().signal)
    const batches = await readViews(log, undefined, 2)
    expect(idsOf(batches)).toEqual(idsOfViews(views))
    expect(batches).toMatchObject([{ after: 0, through: 3, rejected: 1 }])
  })
})
