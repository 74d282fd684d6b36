import type { System } from '../../tests/harness/system.ts'

const SCRAPE_INTERVAL_MS = 5_000

/** Scrapes all services three times as often as Prometheus does with deploy/prometheus.yml. */
export function startScraping({ play, metadata, cdnurl, reporting, listener }: System): Disposable {
  const timer = setInterval(() => {
    for (const { url } of [play, metadata, cdnurl, reporting, listener]) void scrape(url)
  }, SCRAPE_INTERVAL_MS)
  return { [Symbol.dispose]: () => clearInterval(timer) }
}

async function scrape(url: string): Promise<void> {
  const response = await fetch(`${url}/metrics`)
  await response.text()
}
