import { LookedUpCounts } from '../../shared/contracts/view-counts.ts'
import { eventually } from '../../tests/harness/eventually.ts'
import { metric } from '../../tests/harness/plays.ts'
import { metricOfAll } from '../../tests/harness/shared-port.ts'
import { ASSETS } from './load.ts'
import type { CountedTarget } from './target.ts'

const TIMEOUT_MS = 60_000
const SERVED = /^http_server_request_duration_seconds_count\{.*\/play\/asset\/.*http_response_status_code="200"/

/**
 * Waits until every play served by the targets is counted.
 * @returns a line for each reporting service: the plays served, the views counted, and the delay
 * @throws if plays and views still differ after a minute
 */
export async function expectAllCounted(targets: CountedTarget[]): Promise<string> {
  const lastPlayAt = performance.now()
  const lines: string[] = []
  for (const [reporting, edges] of Map.groupBy(targets, (target) => target.reporting)) {
    lines.push(await expectCountedBy(reporting, edges, lastPlayAt))
  }
  return `${lines.join('\n')}\n`
}

async function expectCountedBy(reporting: string, edges: CountedTarget[], lastPlayAt: number): Promise<string> {
  return eventually(async () => {
    const servedByEdge = await Promise.all(edges.map(playsServed))
    const served = servedByEdge.reduce((sum, count) => sum + count, 0)
    const counted = await viewsCounted(reporting)
    if (counted !== served) throw new Error(`${served} plays were served, but ${counted} views were counted`)
    const seconds = ((performance.now() - lastPlayAt) / 1_000).toFixed(1)
    const text = (count: number) => count.toLocaleString('en')
    return `plays served ${text(served)} = views counted ${text(counted)}, ${seconds} s after the last play`
  }, TIMEOUT_MS)
}

function playsServed({ url, processes }: CountedTarget): Promise<number> {
  return processes === 1 ? metric(url, SERVED) : metricOfAll(url, processes, SERVED)
}

async function viewsCounted(reporting: string): Promise<number> {
  const body = JSON.stringify({ assets: Array.from({ length: ASSETS }, (_, n) => `bench-${n}`) })
  const headers = { 'content-type': 'application/json' }
  const response = await fetch(`${reporting}/events/lookup`, { method: 'POST', headers, body })
  const { assets } = LookedUpCounts.parse(await response.json())
  return Object.values(assets).reduce((sum, views) => sum + views, 0)
}
