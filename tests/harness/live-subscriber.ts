import { once } from 'node:events'
import { get, type IncomingMessage } from 'node:http'
import { createParser, type EventSourceMessage } from 'eventsource-parser'
import type { LiveChanges, LiveSnapshot } from '../../shared/contracts/live.ts'

export type LiveSubscriber = AsyncDisposable & {
  status: number
  headers: IncomingMessage['headers']
  events: EventSourceMessage[]
  heartbeats: () => number
  /** The top counts that a page would show; undefined before the first snapshot. */
  seen(): { views: number; assets: Top; users: Top; seconds: Record<string, number> } | undefined
  hasEnded: () => boolean
  /** Stops reading from the socket, as a slow consumer does. */
  pause(): void
  resume(): void
}

type Top = { id: string; views: number }[]

/** Subscribes to server-sent events as a browser does, except that it does not reconnect. */
export async function subscribeLive(url: string, lastEventId?: string): Promise<LiveSubscriber> {
  const request = get(url, { agent: false, headers: lastEventId ? { 'last-event-id': lastEventId } : {} })
  const [response] = (await once(request, 'response')) as [IncomingMessage]
  const events: EventSourceMessage[] = []
  let heartbeats = 0
  let ended = false
  const parser = createParser({ onEvent: (event) => events.push(event), onComment: () => (heartbeats += 1) })
  response.setEncoding('utf8').on('data', (text) => parser.feed(text))
  response.on('error', () => undefined)
  response.once('close', () => (ended = true))
  return {
    status: response.statusCode ?? 0,
    headers: response.headers,
    events,
    heartbeats: () => heartbeats,
    seen: () => toCounts(events),
    hasEnded: () => ended,
    pause: () => response.pause(),
    resume: () => response.resume(),
    async [Symbol.asyncDispose]() {
      response.destroy()
      if (!ended) await once(response, 'close')
    },
  }
}

function toCounts(events: EventSourceMessage[]) {
  const last = events.findLastIndex(({ event }) => event === 'snapshot')
  if (last < 0) return undefined
  const { top, ...snapshot } = JSON.parse(String(events[last]?.data)) as LiveSnapshot
  const changes = events.slice(last + 1).map(({ data }) => JSON.parse(data) as LiveChanges)
  const all = (by: 'assets' | 'users') =>
    sorted(Object.assign(Object.fromEntries(top[by].map(({ id, views }) => [id, views])), ...changes.map((c) => c[by])))
  return {
    views: changes.at(-1)?.views ?? snapshot.views,
    assets: all('assets'),
    users: all('users'),
    seconds: Object.assign({}, snapshot.seconds, ...changes.map(({ seconds }) => seconds)),
  }
}

function sorted(counts: Record<string, number>): Top {
  const all = Object.entries(counts).map(([id, views]) => ({ id, views }))
  return all.sort((a, b) => b.views - a.views || (a.id < b.id ? -1 : 1)).slice(0, 10)
}
