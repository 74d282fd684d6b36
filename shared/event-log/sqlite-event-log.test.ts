import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { pino } from 'pino'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { UnavailableError } from '../runtime/unavailable-error.ts'
import { describeDeadLetters } from '../testing/dead-letters.test-suite.ts'
import {
  createViews,
  describeEventLog,
  idsOf,
  idsOfViews,
  openHandle,
  readViews,
} from '../testing/event-log.test-suite.ts'
import { createSqliteEventLog } from './sqlite-event-log.ts'

const never = new AbortController().signal
let directory: string
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'event-log-'))
  lines = []
})
afterEach(() => rm(directory, { recursive: true, force: true }))

let lines: string[] = []
const file = () => join(directory, 'data', 'events.sqlite')
const open = (producerId?: string) => {
  const log = pino({ level: 'warn' }, { write: (line) => lines.push(line) })
  return openHandle(createSqliteEventLog({ file: file(), log }), producerId)
}

async function appendRaw(body: string): Promise<void> {
  const tampered = new DatabaseSync(file())
  tampered.prepare('INSERT INTO messages (data, stored_at) VALUES (?, ?)').run(body, new Date().toISOString())
  tampered.close()
}

async function expire(through: number): Promise<void> {
  const tampered = new DatabaseSync(file())
  tampered.prepare('DELETE FROM messages WHERE sequence <= ?').run(through)
  tampered.close()
}

describe('the SQLite event log', () => {
  describeEventLog(() => ({ open, wipe: () => rm(join(directory, 'data'), { recursive: true }), expire }))
  describeDeadLetters(() => ({ open: () => open(), appendRaw, lines: () => lines }))

  test('a message that is not a batch of views is skipped, and is counted as a dead letter', async () => {
    const views = createViews(2)
    {
      await using log = open()
      await log.append(views.slice(0, 1), never)
    }
    await appendRaw('not json')
    await using log = open()
    await log.append(views.slice(1), never)
    const batches = await readViews(log, undefined, 2)
    expect(idsOf(batches)).toEqual(idsOfViews(views))
    expect(batches).toMatchObject([{ after: 0, through: 3, deadLetters: 1 }])
  })

  test('a log cannot be opened while another process has it open', async () => {
    await using _ = open()
    expect(() => open()).toThrow('database is locked')
  })

  test("a closed log's dead letters are unavailable", async () => {
    const log = open()
    await log.append(createViews(1), never)
    await log.reject(1, 'reporting responded 400')
    await log[Symbol.asyncDispose]()
    const { deadLetters } = log
    const calls = [
      () => deadLetters.list({ limit: 1 }),
      () => deadLetters.get(1),
      () => deadLetters.replay(1),
      () => deadLetters.delete(1),
      () => deadLetters.count(),
    ]
    for (const call of calls) await expect(call()).rejects.toThrow(UnavailableError)
  })

  test('the log is up while it is open', async () => {
    const log = open()
    expect(log.state()).toBe('up')
    await log[Symbol.asyncDispose]()
    expect(log.state()).toBe('down')
  })
})
