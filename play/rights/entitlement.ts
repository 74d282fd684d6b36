import { Metadata } from '../../shared/contracts/metadata.ts'
import type { Denial, Rights } from '../../shared/contracts/rights.ts'

/** Rights in a form that is cheap to check. Times are in milliseconds since the Unix epoch. */
export type Terms = {
  from: number
  until: number
  countries: ReadonlySet<string> | undefined
  plans: ReadonlySet<string> | undefined
}

/** What is known about a viewer. An unknown country or plan matches no list. */
export type Audience = { country?: string | undefined; plan?: string | undefined }

export type Entitlement = { allow: boolean; reasons: Denial[] }

/** The metadata that play caches. An asset without rights has no terms. */
export const LicensedMetadata = Metadata.transform(({ rights, ...metadata }) => ({
  ...metadata,
  ...(rights && { terms: toTerms(rights) }),
}))
export type LicensedMetadata = Omit<Metadata, 'rights'> & { terms?: Terms }

/**
 * Decides whether a viewer may play an asset at the time `now`: `from` is inclusive, and `until` is exclusive. Lists
 * all reasons that apply, in the order of the properties in `Terms`.
 * @param now in milliseconds since the Unix epoch
 */
export function checkEntitlement(terms: Terms, { country, plan }: Audience, now: number): Entitlement {
  const reasons: Denial[] = []
  if (now < terms.from) reasons.push('not-started')
  if (now >= terms.until) reasons.push('expired')
  if (isMissing(country, terms.countries)) reasons.push('country')
  if (isMissing(plan, terms.plans)) reasons.push('plan')
  return { allow: reasons.length === 0, reasons }
}

/** A play that its asset's rights do not allow. */
export type Refused = Omit<Entitlement, 'allow'>

/** Returns why the viewer may not play the asset now; undefined if they may. */
export function findRefusal({ terms }: LicensedMetadata, audience: Audience): Refused | undefined {
  if (!terms) return undefined
  const { allow, reasons } = checkEntitlement(terms, audience, Date.now())
  return allow ? undefined : { reasons }
}

function isMissing(value: string | undefined, accepted: ReadonlySet<string> | undefined): boolean {
  return accepted !== undefined && (value === undefined || !accepted.has(value))
}

function toTerms({ from, until, countries, plans }: Rights): Terms {
  return {
    from: from === undefined ? Number.NEGATIVE_INFINITY : Date.parse(from),
    until: until === undefined ? Number.POSITIVE_INFINITY : Date.parse(until),
    countries: countries && new Set(countries),
    plans: plans && new Set(plans),
  }
}
