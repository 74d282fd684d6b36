import { repeat } from './repeat.ts'
import { isWatchRule, type Rule, type WatchRule } from './view-rule.ts'
import { watchTime } from './watch-time.ts'

/**
 * Versions of the view rules. A released version never changes. If several rules disqualify a view, the first of them
 * is the reason.
 */
export const ruleSets = { v1: [repeat], v2: [repeat, watchTime] } satisfies Record<string, readonly Rule[]>

export type RulesVersion = keyof typeof ruleSets

export const DEFAULT_RULES: RulesVersion = 'v1'

/** A version's rule that requires watch time, if it has one. */
export function watchRuleOf(version: RulesVersion): WatchRule | undefined {
  const rules: readonly Rule[] = ruleSets[version]
  return rules.find(isWatchRule)
}
