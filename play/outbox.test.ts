import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { NewView } from '../shared/event-log/event-log.ts'
import { createOutbox, OutboxError } from './outbox.ts'
import { openOutboxFile } from './outbox-file.ts'

let directory: string
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'outbox-'))
})
afterEach(() => rm(directory, { recursive: true, force: true }))

const open = () => createOutbox(join(directory, 'data', 'outbox.sqlite'))

test('views survive a restart, in order', () => {
  {
    using outbox = open()
    outbox.put('p', someViews('a', 'b'))
    outbox.put('p', someViews('c'))
  }
  using outbox = open()
  expect(outbox.first()).toEqual({ through: 2, producer: 'p', views: someViews('a', 'b', 'c') })
  expect(outbox.size()).toBe(3)
})

test('reports of watch time are kept in order with the views, and are neither counted nor found as views', () => {
  const outbox = open()
  const report = (id: string) => someViews(id).map((view) => ({ ...view, watched: { viewId: 'a', seconds: 31 } }))
  const events = [...someViews('a'), ...report('r'), ...someViews('b')]
  outbox.put('p', events)
  outbox.put('p', report('s'))
  expect(outbox.first()).toEqual({ through: 2, producer: 'p', views: [...events, ...report('s')] })
  expect(outbox.size()).toBe(2)
  outbox[Symbol.dispose]()
  using file = openOutboxFile(join(directory, 'data', 'outbox.sqlite'))
  expect([file.search('r').view, file.search('a').view]).toEqual([undefined, someViews('a')[0]])
})

test('the previous release fails on reports of watch time instead of appending them as views', () => {
  {
    using outbox = open()
    outbox.put('p', someViews('a'))
    outbox.put(
      'p',
      someViews('b', 'r').map((view) => ({ ...view, watched: { viewId: 'a', seconds: 31 } })),
    )
  }
  using db = new DatabaseSync(join(directory, 'data', 'outbox.sqlite'))
  const entries = db.prepare('SELECT views FROM waiting ORDER BY sequence').all()
  const readAsPreviously = ({ views }: { views?: unknown } = {}): NewView[] => [...JSON.parse(String(views))]
  expect(readAsPreviously(entries[0])).toEqual(someViews('a'))
  expect(() => readAsPreviously(entries[1])).toThrow(TypeError)
})

test('drop() deletes views up to and including the given position, and keeps later ones', () => {
  using outbox = open()
  outbox.put('p', someViews('a'))
  const first = outbox.first()
  outbox.put('p', someViews('b'))
  outbox.drop(first?.through ?? 0)
  expect(outbox.first()?.views).toEqual(someViews('b'))
  expect(outbox.size()).toBe(1)
})

test('first() takes no longer when many more entries follow', () => {
  using outbox = open()
  const entry = someViews(...Array.from({ length: 1_000 }, (_, n) => `view-${n}`))
  outbox.put('p', entry)
  const alone = shortestMs(() => outbox.first())
  for (let n = 0; n < 200; n += 1) outbox.put('p', entry)
  // Reading all entries would take 200 times as long.
  expect(shortestMs(() => outbox.first())).toBeLessThan(20 * alone)
})

function shortestMs(work: () => unknown): number {
  const durations = Array.from({ length: 10 }, () => {
    const started = performance.now()
    work()
    return performance.now() - started
  })
  return Math.min(...durations)
}

test('first() returns undefined if the outbox is empty', () => {
  using outbox = open()
  expect(outbox.first()).toBeUndefined()
  expect(outbox.size()).toBe(0)
})

describe('first() returns', () => {
  test('the oldest views, up to the next producer, and the position of the last one', () => {
    using outbox = open()
    outbox.put('p', someViews('a'))
    outbox.put('p', someViews('b'))
    outbox.put('q', someViews('c'))
    outbox.put('p', someViews('d'))
    expect(outbox.first()).toEqual({ through: 2, producer: 'p', views: someViews('a', 'b') })
    outbox.drop(2)
    expect(outbox.first()).toEqual({ through: 3, producer: 'q', views: someViews('c') })
    outbox.drop(3)
    expect(outbox.first()).toEqual({ through: 4, producer: 'p', views: someViews('d') })
  })

  test('at most 1,000 views, without splitting entries', () => {
    using outbox = open()
    outbox.put('p', manyViews(400))
    outbox.put('p', manyViews(600))
    outbox.put('p', manyViews(1))
    expect(outbox.first()).toMatchObject({ through: 2, views: { length: 1_000 } })
    outbox.drop(2)
    outbox.put('p', manyViews(1_000))
    expect(outbox.first()).toMatchObject({ through: 3, views: { length: 1 } })
  })

  test('an entry with more than 1,000 views as a whole, and no other entry', () => {
    using outbox = open()
    outbox.put('p', manyViews(1_500))
    outbox.put('p', manyViews(1))
    expect(outbox.first()).toMatchObject({ through: 1, views: { length: 1_500 } })
  })

  test('at most 500 entries', () => {
    using outbox = open()
    for (let entry = 0; entry < 501; entry += 1) outbox.put('p', someViews(`v${entry}`))
    expect(outbox.first()).toMatchObject({ through: 500, views: { length: 500 } })
    outbox.drop(500)
    expect(outbox.first()).toEqual({ through: 501, producer: 'p', views: someViews('v500') })
  })
})

test('a second process cannot open the file', () => {
  using outbox = open()
  outbox.put('p', someViews('a'))
  using other = open()
  expect(() => other.first()).toThrow(OutboxError)
  expect(other.state()).toBe('down')
})

test('operations fail while the disk fails, and work again afterwards', async () => {
  await mkdir(join(directory, 'data', 'outbox.sqlite'), { recursive: true })
  using outbox = open()
  expect(() => outbox.put('p', someViews('a'))).toThrow(OutboxError)
  expect(() => outbox.size()).toThrow(/outbox\.sqlite is unavailable/)
  expect(outbox.state()).toBe('down')
  await rm(join(directory, 'data'), { recursive: true })
  outbox.put('p', someViews('a'))
  expect(outbox.state()).toBe('up')
  expect(outbox.size()).toBe(1)
})

test('the size is exact after a restart and after failed writes', () => {
  {
    using outbox = open()
    outbox.put('p', manyViews(3))
    outbox.put('p', manyViews(4))
    outbox.drop(1)
    expect(outbox.size()).toBe(4)
  }
  // Leaves room for only two entries, and makes the deletion of the entry with sequence 3 fail.
  withFile((db) =>
    db.exec(`
      CREATE TRIGGER full BEFORE INSERT ON waiting WHEN (SELECT count(*) FROM waiting) = 2
      BEGIN SELECT RAISE(ABORT, 'disk full'); END;
      CREATE TRIGGER broken AFTER DELETE ON waiting WHEN OLD.sequence = 3
      BEGIN SELECT RAISE(ABORT, 'disk I/O error'); END;
    `),
  )
  using outbox = open()
  expect(outbox.size()).toBe(4)
  outbox.put('p', manyViews(5))
  expect(() => outbox.put('p', manyViews(6))).toThrow(OutboxError)
  expect(outbox.size()).toBe(9)
  expect(() => outbox.drop(3)).toThrow(OutboxError)
  expect(outbox.size()).toBe(9)
  outbox.drop(2)
  expect(outbox.size()).toBe(5)
})

test('100 calls of size() and state() with 200,000 entries take less than a second', () => {
  {
    using outbox = open()
    outbox.put('p', someViews('a'))
  }
  withFile((db) => {
    db.exec(`
      WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 200000)
      INSERT INTO waiting (producer, views, count) SELECT 'p', '[${'x'.repeat(200)}]', 1 FROM numbers
    `)
  })
  using outbox = open()
  expect(outbox.size()).toBe(200_001)
  const started = performance.now()
  for (let times = 0; times < 100; times += 1) expect([outbox.size(), outbox.state()]).toEqual([200_001, 'up'])
  expect(performance.now() - started).toBeLessThan(1_000)
})

/** Changes the file while no outbox has it open. */
function withFile(work: (db: DatabaseSync) => void): void {
  const db = new DatabaseSync(join(directory, 'data', 'outbox.sqlite'))
  work(db)
  db.close()
}

function someViews(...ids: string[]): NewView[] {
  return ids.map((id) => ({ id, assetId: '456', userId: '8', at: '2026-11-20T21:00:00.000Z', requestId: 'request-1' }))
}

function manyViews(count: number): NewView[] {
  return someViews(...Array.from({ length: count }, (_, index) => `v${index}`))
}
