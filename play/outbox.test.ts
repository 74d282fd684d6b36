import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { NewView } from '../shared/event-log/event-log.ts'
import { createOutbox, OutboxError } from './outbox.ts'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'outbox-'))
})
afterEach(() => rm(folder, { recursive: true, force: true }))

const open = () => createOutbox(join(folder, 'data', 'outbox.sqlite'))

test('what is put is there for the next process, in its order', () => {
  {
    using outbox = open()
    outbox.put('p', someViews('a', 'b'))
    outbox.put('p', someViews('c'))
  }
  using outbox = open()
  expect(outbox.first()).toEqual({ through: 2, producer: 'p', views: someViews('a', 'b', 'c') })
  expect(outbox.size()).toBe(3)
})

test('what is dropped is gone, and what came after it stays', () => {
  using outbox = open()
  outbox.put('p', someViews('a'))
  const first = outbox.first()
  outbox.put('p', someViews('b'))
  outbox.drop(first?.through ?? 0)
  expect(outbox.first()?.views).toEqual(someViews('b'))
  expect(outbox.size()).toBe(1)
})

test('an empty outbox has nothing first', () => {
  using outbox = open()
  expect(outbox.first()).toBeUndefined()
  expect(outbox.size()).toBe(0)
})

test('what comes first is of one producer', () => {
  using outbox = open()
  outbox.put('p', someViews('a'))
  outbox.put('q', someViews('b'))
  outbox.put('p', someViews('c'))
  expect(outbox.first()).toMatchObject({ producer: 'p', views: [{ id: 'a' }] })
})

test('what comes first makes one append of a thousand views at the most, but an entry is never parted', () => {
  using outbox = open()
  const many = (count: number) => someViews(...Array.from({ length: count }, (_, index) => `v${index}`))
  for (let entry = 0; entry < 3; entry += 1) outbox.put('p', many(400))
  expect(outbox.first()?.views).toHaveLength(800)
  outbox.drop(3)
  outbox.put('p', many(1_500))
  expect(outbox.first()?.views).toHaveLength(1_500)
})

test('another process cannot open it', () => {
  using outbox = open()
  outbox.put('p', someViews('a'))
  using other = open()
  expect(() => other.first()).toThrow(OutboxError)
  expect(other.state()).toBe('down')
})

test('where the disk fails it says so, and works once it does not', async () => {
  await mkdir(join(folder, 'data', 'outbox.sqlite'), { recursive: true })
  using outbox = open()
  expect(() => outbox.put('p', someViews('a'))).toThrow(OutboxError)
  expect(() => outbox.size()).toThrow(/outbox\.sqlite fails/)
  expect(outbox.state()).toBe('down')
  await rm(join(folder, 'data'), { recursive: true })
  outbox.put('p', someViews('a'))
  expect(outbox.state()).toBe('up')
  expect(outbox.size()).toBe(1)
})

function someViews(...ids: string[]): NewView[] {
  return ids.map((id) => ({ id, assetId: '456', userId: '8', at: '2026-11-20T21:00:00.000Z', requestId: 'request-1' }))
}
