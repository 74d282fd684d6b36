import type { NatsOptions } from '../../tests/harness/nats-server.ts'
import { startOtlpReceiver } from '../../tests/harness/otlp-receiver.ts'
import { type System, startSystem } from '../../tests/harness/system.ts'

const SCRAPE_INTERVAL_MS = 5_000

/** A system that exports spans and is scraped three times as often as in deploy/prometheus.yml. */
export async function startObserved(natsOptions: NatsOptions): Promise<System> {
  await using stack = new AsyncDisposableStack()
  const receiver = stack.use(await startOtlpReceiver())
  const settings = { OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url }
  const system = stack.use(await startSystem(settings, natsOptions))
  const { play, metadata, cdnurl, reporting, listener } = system
  const timer = setInterval(() => {
    for (const { url } of [play, metadata, cdnurl, reporting, listener]) void scrape(url)
  }, SCRAPE_INTERVAL_MS)
  stack.defer(() => clearInterval(timer))
  const started = stack.move()
  return { ...system, [Symbol.asyncDispose]: () => started.disposeAsync() }
}

async function scrape(url: string): Promise<void> {
  const response = await fetch(`${url}/metrics`)
  await response.text()
}
