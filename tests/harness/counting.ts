import { expect } from 'vitest'
import type { Readiness } from '../../shared/contracts/readiness.ts'
import { eventually } from './eventually.ts'
import { getJson } from './plays.ts'

/** Returns a service's `/readyz` response. */
export async function readinessOf(service: string): Promise<Readiness> {
  return (await getJson(`${service}/readyz`)) as Readiness
}

/** Waits until reporting's readiness shows that its counts are current. */
export function expectCurrent(reporting: string, limitMs?: number): Promise<void> {
  return eventually(async () => expect((await readinessOf(reporting)).counting?.state).toBe('current'), limitMs)
}
