import type { NatsServer } from './nats-server.ts'
import { connectRaw } from './raw-nats.ts'

const VIEWS_PER_MESSAGE = 50

/** Appends views of the asset `filler` to the log, in messages of 50. */
export async function appendViews(nats: NatsServer, count: number): Promise<void> {
  await using publisher = await connectRaw(nats.url)
  for (let n = 0; n < count; n += VIEWS_PER_MESSAGE) {
    const size = Math.min(VIEWS_PER_MESSAGE, count - n)
    publisher.publish(
      'events.view.filler',
      Buffer.from(JSON.stringify(Array.from({ length: size }, (_, m) => event(n + m)))),
    )
    if (n % (100 * VIEWS_PER_MESSAGE) === 0) await publisher.flush()
  }
  await publisher.flush()
}

/** Encodes a view as a CloudEvent in structured mode. */
function event(n: number): object {
  return {
    specversion: '1.0',
    id: `filler-${n}`,
    source: '/filler',
    type: 'video.viewed',
    time: new Date().toISOString(),
    data: { assetId: 'filler', userId: `user-${n % 1_000}` },
  }
}
