import { z } from 'zod'
import { DEFAULT_RULES, type RulesVersion, ruleSets } from './rule-sets.ts'

const versions = Object.keys(ruleSets)

/** Parses a version of the view rules; undefined if there is no such version. */
export function toRulesVersion(text: string): RulesVersion | undefined {
  return isVersion(text) ? text : undefined
}

const isVersion = (text: string): text is RulesVersion => Object.hasOwn(ruleSets, text)

export const viewRules = z
  .string()
  .default(DEFAULT_RULES)
  .transform((text, context): RulesVersion => {
    const version = toRulesVersion(text)
    if (version) return version
    context.addIssue(`must be ${versions.join(' or ')}`)
    return z.NEVER
  })
  .meta({
    description: `Version of the view rules: ${versions.join(' or ')}; before you change it, run npm run counts -- recount`,
  })
