import type { ServerResponse } from 'node:http'
import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response'
import type { Context } from 'hono'
import { Counter, Gauge } from 'prom-client'
import type { Metrics } from '../runtime/metrics.ts'
import { UnavailableError } from '../runtime/unavailable.ts'
import type { AppEnv } from './app-env.ts'

const MAX_LISTENERS = 10_000
/** What may wait to be sent to one listener, beyond what the kernel holds for it. */
const MAX_WAITING_BYTES = 64 * 1024
/** Below what proxies and browsers take for a dead connection. */
const HEARTBEAT_MS = 5_000

const HEADERS = {
  'content-type': 'text/event-stream',
  'cache-control': 'no-cache, no-transform',
  'x-accel-buffering': 'no',
  connection: 'close',
}

export type EventStream = {
  /**
   * Makes the client of a request a listener, and sends it `first`.
   * @throws UnavailableError where there are too many, or the process stops
   */
  answer(c: Context<AppEnv>, first: () => string): Response
  /** Sends something to all listeners. One that does not read what it was sent before is cut off instead. */
  send(text: string): void
  size(): number
}

type Deps = {
  metrics: Metrics
  stopping: AbortSignal
  /** Called when the last listener has left. */
  onEmpty: () => void
  heartbeatMs?: number | undefined
  maxListeners?: number | undefined
}

/**
 * Server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html) for many listeners alike: each is
 * encoded once, and written to Node's responses, not through Hono's streams.
 */
export function createEventStream(deps: Deps): EventStream {
  const { metrics, stopping, onEmpty, heartbeatMs = HEARTBEAT_MS, maxListeners = MAX_LISTENERS } = deps
  const listeners = new Set<ServerResponse>()
  const dropped = measure(metrics, listeners)
  const heartbeat = setInterval(() => send(':\n\n'), heartbeatMs).unref()

  function send(text: string): void {
    heartbeat.refresh()
    const bytes = Buffer.from(text)
    for (const listener of listeners) {
      if (listener.writableLength <= MAX_WAITING_BYTES) listener.write(bytes)
      else {
        dropped.inc()
        listeners.delete(listener)
        listener.destroy()
      }
    }
  }

  function open(listener: ServerResponse, headers: Record<string, string>, first: string): void {
    listeners.add(listener)
    listener.on('error', () => listener.destroy())
    listener.once('close', () => {
      listeners.delete(listener)
      if (listeners.size === 0) onEmpty()
    })
    // The end of the connection ends the stream: chunks would cost half as much again, and say no more.
    listener.removeHeader('transfer-encoding')
    listener.writeHead(200, headers)
    listener.write(first)
  }

  stopping.addEventListener('abort', () => {
    clearInterval(heartbeat)
    // Not end(), which waits for who does not read.
    for (const listener of listeners) listener.destroy()
  })

  return {
    answer(c, first) {
      if (c.req.method === 'HEAD') return c.body(null, 200, HEADERS)
      const outgoing = c.env.outgoing
      // Without a socket it waits behind another answer of its connection, and nobody would tell when that ends.
      if (!outgoing?.socket || stopping.aborted) throw new UnavailableError('no stream is opened now')
      if (listeners.size >= maxListeners) throw new UnavailableError('there are too many listeners')
      // What a middleware set, such as that of CORS, is in Hono's own answer, which is not sent.
      open(outgoing, { ...Object.fromEntries(c.res.headers), ...HEADERS }, first())
      // Hono would merge the two, and no longer know that one is sent.
      c.res = undefined
      c.res = RESPONSE_ALREADY_SENT
      return RESPONSE_ALREADY_SENT
    },
    send,
    size: () => listeners.size,
  }
}

function measure(metrics: Metrics, listeners: ReadonlySet<unknown>) {
  const registers = [metrics]
  new Gauge({
    name: 'event_stream_listeners',
    help: 'Clients that listen to server-sent events',
    registers,
    collect() {
      this.set(listeners.size)
    },
  })
  return new Counter({
    name: 'event_stream_listeners_dropped_total',
    help: 'Listeners cut off because they did not read',
    registers,
  })
}
