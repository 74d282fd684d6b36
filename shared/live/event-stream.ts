import type { ServerResponse } from 'node:http'
import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response'
import type { Context } from 'hono'
import { Counter, Gauge } from 'prom-client'
import type { AppEnv } from '../http/app-env.ts'
import { UnavailableError } from '../runtime/unavailable-error.ts'
import type { Metrics } from '../service/metrics.ts'

const MAX_SUBSCRIBERS = 10_000

/** Maximum number of unsent bytes per subscriber, not including kernel buffers. */
const MAX_BUFFERED_BYTES = 64 * 1024

/** Shorter than the idle timeouts of proxies and browsers. */
const HEARTBEAT_MS = 5_000

const HEADERS = {
  'content-type': 'text/event-stream',
  'cache-control': 'no-cache, no-transform',
  'x-accel-buffering': 'no',
  connection: 'close',
}

type EventStream<Channel> = {
  /**
   * Subscribes the requesting client to a channel, and sends it the text that `first` returns.
   * @throws UnavailableError if there are too many subscribers, or the process is stopping
   */
  subscribe(c: Context<AppEnv>, channel: Channel, first: () => string): Response
  /** Sends each subscriber the text that `encode` returns for its channel. Disconnects slow consumers. */
  broadcast(encode: (channel: Channel) => string): void
  size(): number
}

type Deps = {
  metrics: Metrics
  stopping: AbortSignal
  /** Called when no subscriber is left. May be called more than once if multiple subscribers disconnect together. */
  onEmpty: () => void
  heartbeatMs?: number | undefined
  maxSubscribers?: number | undefined
}

/**
 * Server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html), broadcast to many subscribers.
 * Each event is encoded once and written to Node's responses directly, which is cheaper than Hono's streams.
 */
export function createEventStream<Channel>(deps: Deps): EventStream<Channel> {
  const { metrics, stopping, onEmpty, heartbeatMs = HEARTBEAT_MS, maxSubscribers = MAX_SUBSCRIBERS } = deps
  const subscribers = new Map<ServerResponse, Channel>()
  const dropped = createSubscriberMetrics(metrics, subscribers)
  const heartbeat = setInterval(() => broadcast(() => ':\n\n'), heartbeatMs).unref()

  function broadcast(encode: (channel: Channel) => string): void {
    heartbeat.refresh()
    const encoded = new Map<Channel, Buffer>()
    const bytesOf = (channel: Channel) => encoded.getOrInsertComputed(channel, () => Buffer.from(encode(channel)))
    for (const [subscriber, channel] of subscribers) {
      if (subscriber.writableLength <= MAX_BUFFERED_BYTES) subscriber.write(bytesOf(channel))
      else {
        dropped.inc()
        subscribers.delete(subscriber)
        subscriber.destroy()
      }
    }
  }

  function open(subscriber: ServerResponse, channel: Channel, headers: Record<string, string>, first: string): void {
    subscribers.set(subscriber, channel)
    subscriber.on('error', () => subscriber.destroy())
    subscriber.once('close', () => {
      subscribers.delete(subscriber)
      if (subscribers.size === 0) onEmpty()
    })
    // The stream ends when the connection closes. Chunked encoding would make each write 50% more expensive.
    subscriber.removeHeader('transfer-encoding')
    subscriber.writeHead(200, headers)
    subscriber.write(first)
  }

  stopping.addEventListener('abort', () => {
    clearInterval(heartbeat)
    // Do not call end(), which would wait for slow consumers.
    for (const subscriber of subscribers.keys()) subscriber.destroy()
  })

  return {
    subscribe(c, channel, first) {
      if (c.req.method === 'HEAD') return c.body(null, 200, HEADERS)
      const outgoing = c.env?.outgoing
      // A pipelined response has no socket yet, and no event would report its end.
      if (!outgoing?.socket || stopping.aborted) throw new UnavailableError('no stream can be opened')
      if (subscribers.size >= maxSubscribers) throw new UnavailableError('too many subscribers')
      // Copy the headers that middleware, such as CORS, has set on Hono's response, because that response is not sent.
      open(outgoing, channel, { ...Object.fromEntries(c.res.headers), ...HEADERS }, first())
      // Without the reset, Hono would merge the two responses and send the result again.
      c.res = undefined
      c.res = RESPONSE_ALREADY_SENT
      return RESPONSE_ALREADY_SENT
    },
    broadcast,
    size: () => subscribers.size,
  }
}

function createSubscriberMetrics(metrics: Metrics, subscribers: ReadonlyMap<unknown, unknown>) {
  const registers = [metrics]
  new Gauge({
    name: 'event_stream_listeners',
    help: 'Subscribers to server-sent events',
    registers,
    collect() {
      this.set(subscribers.size)
    },
  })
  return new Counter({
    name: 'event_stream_listeners_dropped_total',
    help: 'Subscribers disconnected as slow consumers',
    registers,
  })
}
