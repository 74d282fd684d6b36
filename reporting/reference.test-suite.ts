import fc from 'fast-check'
import type { View } from '../shared/contracts/view.ts'
import type { CountBatch } from './count-store.ts'
import { createEngine, type JudgedView, type Verdicts } from './engine.ts'
import { createKnownIds } from './maps/known-ids.ts'
import { createJudge } from './rules/judge.ts'
import { ruleSets } from './rules/rule-sets.ts'
import type { RuleEvent } from './rules/view-rule.ts'

type Limits = { maxProducers?: number; maxIds?: number }

/** An engine with simple in-memory state, which is unbounded unless limits are given. */
export function createReference({ maxProducers, maxIds }: Limits = {}) {
  const keys = new Map<string, RuleEvent>()
  const deduplication = {
    isComplete: true,
    producers: new Map(),
    knownIds: createKnownIds(maxIds === undefined ? {} : { max: maxIds }),
  }
  const state = {
    deduplication,
    keys: { find: (id: string) => keys.get(id), add: (view: RuleEvent) => keys.set(view.id, view) },
    judge: createJudge(ruleSets.v1),
    clock: 0,
  }
  return createEngine(state, maxProducers)
}

export const START = Date.parse('2026-11-20T21:00:00Z')
export const assets = ['a', 'b']
export const users = ['u', 'v', 'constructor']
const seconds = (max: number) => fc.integer({ min: 0, max })

/**
 * A message. `after`: the seconds between the previous message and this one. `before`: the seconds between a play and
 * the time at which the log stored its message.
 */
export const message = fc.record({
  after: seconds(40),
  views: fc.array(
    fc.record({
      assetId: fc.constantFrom(...assets),
      userId: fc.constantFrom(...users),
      before: fc.oneof(seconds(40), fc.constant(86_400)),
      key: fc.option(fc.constantFrom('k', 'l'), { nil: undefined, freq: 2 }),
    }),
    { minLength: 1, maxLength: 4 },
  ),
})
export type Message = { views: View[]; at: string }

export const AT = new Date(START).toISOString()

export function toView({
  id,
  second,
  assetId = 'a',
  userId = 'u',
}: { id: string; second: number } & Partial<RuleEvent>): View {
  return { id, assetId, userId, at: new Date(START + second * 1_000).toISOString() }
}

export function toLog(
  drawn: { after: number; views: { assetId: string; userId: string; before: number; key: string | undefined }[] }[],
): Message[] {
  let stored = START
  return drawn.map(({ after, views }, n) => {
    stored += after * 1_000
    const at = new Date(stored).toISOString()
    return {
      at,
      views: views.map(({ assetId, userId, before, key }, index) => ({
        // A user may reuse a key for another asset.
        ...(key === undefined ? { id: `${n}-${index}` } : { id: `${userId}-${key}`, keyed: true as const }),
        assetId,
        userId,
        at: new Date(stored - before * 1_000).toISOString(),
      })),
    }
  })
}

export function toBatch(log: Message[], after: number, through: number): CountBatch {
  const read = log.slice(after, through)
  return {
    incarnation: 'log',
    after,
    through,
    views: read.flatMap(({ views }) => views),
    messages: read.map(({ views, at }, n) => ({ sequence: after + n + 1, views: views.length, at })),
  }
}

export type Expected = { views: JudgedView[]; retried: number; keysReused: number }

export function judgeOneByOne(log: Message[]): Expected {
  const judge = createReference()
  const verdicts: Verdicts[] = log.map((_, n) => judge(toBatch(log, n, n + 1)))
  const sum = (of: (each: Verdicts) => number) => verdicts.reduce((total, each) => total + of(each), 0)
  return {
    views: verdicts.flatMap(({ views }) => views),
    retried: sum(({ retried }) => retried),
    keysReused: sum(({ keysReused }) => keysReused),
  }
}
