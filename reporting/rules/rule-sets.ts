import { repeat } from './repeat.ts'
import type { ViewRule } from './view-rule.ts'

/** The versions of the view rules. A version never changes after its release; the first rule that objects decides. */
export const ruleSets = { v1: [repeat] } satisfies Record<string, readonly ViewRule[]>

export type RulesVersion = keyof typeof ruleSets

export const DEFAULT_RULES: RulesVersion = 'v1'
