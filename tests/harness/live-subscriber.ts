import { once } from 'node:events'
import { get, type IncomingMessage } from 'node:http'
import { createParser, type EventSourceMessage } from 'eventsource-parser'
import type { LiveChanges, LiveSnapshot } from '../../shared/contracts/live.ts'

export type LiveListener = AsyncDisposable & {
  status: number
  headers: IncomingMessage['headers']
  events: EventSourceMessage[]
  heartbeats: () => number
  /** What a page makes of the events: all that it knows of views, most first; undefined before the first snapshot. */
  seen(): { views: number; assets: Top; users: Top; seconds: Record<string, number> } | undefined
  hasEnded: () => boolean
  /** Stops reading, or goes on with it. */
  pause(): void
  resume(): void
}

type Top = { id: string; views: number }[]

/** Listens to server-sent events, as a browser does but for coming again. */
export async function listenLive(url: string, lastEventId?: string): Promise<LiveListener> {
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
    seen: () => foldAll(events),
    hasEnded: () => ended,
    pause: () => response.pause(),
    resume: () => response.resume(),
    async [Symbol.asyncDispose]() {
      response.destroy()
      if (!ended) await once(response, 'close')
    },
  }
}

function foldAll(events: EventSourceMessage[]) {
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
  return all.sort((one, other) => other.views - one.views || (one.id < other.id ? -1 : 1)).slice(0, 10)
}
