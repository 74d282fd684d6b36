import fc from 'fast-check'
import { expect } from 'vitest'
import type { CountBatch, CountStore, ReportObserver } from './count-store.ts'

/** A store, and other instances that use the same data. */
export type Opened = AsyncDisposable & {
  counts: CountStore
  others: CountStore[]
  /** Replaces all instances, as a restart would. */
  restart(): Promise<Opened>
}

/** How the conformance suites open a count store. */
export type Store = {
  /** Opens an empty store. */
  open(onReport?: ReportObserver): Promise<Opened>
  /** True if the counts survive a restart. */
  isPersistent: boolean
  /** The number of test runs per property. */
  numRuns: number
}

/**
 * How a log's messages are read: the size of each batch, the instance that receives it, and whether a restart precedes
 * it. Together, the batches have at least 30 messages.
 */
export const reading = fc.array(
  fc.record({ messages: fc.integer({ min: 1, max: 5 }), instance: fc.nat(3), restart: fc.boolean() }),
  { minLength: 30, maxLength: 30 },
)

type Log = {
  reading: typeof reading extends fc.Arbitrary<infer Reading> ? Reading : never
  /** The number of messages. */
  length: number
  toBatch: (after: number, through: number) => CountBatch
}

type Checks = { onBatch?: (opened: Opened) => Promise<void>; atEnd: (opened: Opened) => Promise<void> }

/** Applies a log in batches, and checks the store after each batch and at the end. */
export async function readInBatches(
  { open, isPersistent }: Pick<Store, 'open' | 'isPersistent'>,
  { reading, length, toBatch }: Log,
  { onBatch = async () => {}, atEnd }: Checks,
): Promise<void> {
  let opened = await open()
  try {
    let after = 0
    for (const { messages, instance, restart } of reading) {
      if (after === length) break
      const through = Math.min(length, after + messages)
      if (restart && isPersistent) opened = await opened.restart()
      const instances = [opened.counts, ...opened.others]
      expect(await instances[instance % instances.length]?.apply(toBatch(after, through))).toBeDefined()
      after = through
      await onBatch(opened)
    }
    expect(after).toBe(length)
    await atEnd(opened)
  } finally {
    await opened[Symbol.asyncDispose]()
  }
}
