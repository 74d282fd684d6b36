import type { Position } from '../../shared/contracts/position.ts'
import { type StreamStatus, streamBacklog, streamStatus } from '../../shared/event-log/stream-status.ts'
import { connectToNats, withoutCredentials } from '../../shared/nats/connect.ts'
import { isWithoutJetStream, openJetStreamManager } from '../../shared/nats/jetstream.ts'
import { toReason } from '../../shared/runtime/reason.ts'
import { type Looks, lookTwice } from './again.ts'
import { isWaiting, judgeCounting, many, type Waiting } from './counting.ts'
import { fail, type Line, ok, warn } from './line.ts'

const LIMIT_MS = 1_000

type LogSeen = {
  server: string
  stream: StreamStatus | undefined
  /** Up to where reporting has counted, and what is left; undefined where it does not say. */
  counted: Looks<Counted> | undefined
}

/** `end` was asked for after `at`, or a log that grows would seem to end before it. */
type Counted = Waiting & { at: Position | undefined; end: Position | undefined }

type Settings = { servers: string[]; maxAgeMs: number | undefined; askPosition: () => Promise<Position | undefined> }

/** NATS, the log in it, and how far that is counted. Invalidations nothing there. */
export async function examineNats({ servers, maxAgeMs, askPosition }: Settings): Promise<Line[]> {
  try {
    const { server, stream, counted } = await lookAtLog(servers, askPosition)
    const lines = [ok('nats', `${server} answers`)]
    if (!stream) return [...lines, ok('log', 'there is no stream EVENTS: nobody has played yet')]
    return [
      ...lines,
      judgeStream(stream, maxAgeMs),
      ...judgeRejected(stream),
      ...(counted ? judgeCounted(counted) : []),
    ]
  } catch (error) {
    return [judgeFailure(servers.map(withoutCredentials).join(','), error)]
  }
}

async function lookAtLog(servers: string[], askPosition: Settings['askPosition']): Promise<LogSeen> {
  const connection = await connectToNats({ servers, name: 'doctor', timeoutMs: LIMIT_MS })
  try {
    const jsm = await openJetStreamManager({ connection: () => connection })
    const look = async (): Promise<Counted> => {
      const at = await askPosition()
      const end = (await streamStatus(jsm))?.end
      const { messages, since } = await streamBacklog(jsm, at)
      const seconds = since ? Math.max(0, Date.now() - since.getTime()) / 1_000 : 0
      return { at, end, messages, seconds, position: JSON.stringify(at) }
    }
    return {
      server: `${connection.getServer()} (nats-server ${connection.info?.version})`,
      stream: await streamStatus(jsm),
      counted: await lookTwice(look, isWaiting).catch(() => undefined),
    }
  } finally {
    void connection.close()
  }
}

function judgeFailure(servers: string, error: unknown): Line {
  const meanwhile = 'views wait in the outbox of play meanwhile'
  if (isWithoutJetStream(error)) {
    return fail(
      'nats',
      `${servers} has no JetStream: start it with --jetstream, or enable it for this account; ${meanwhile}`,
    )
  }
  if (/authorization|authentication/i.test(toReason(error))) {
    return fail('nats', `${servers} refuses who asks: correct the user and the password in NATS_URL; ${meanwhile}`)
  }
  return fail('nats', `${servers} does not answer (${toReason(error)}): start it, or correct NATS_URL; ${meanwhile}`)
}

function judgeStream({ messages, bytes, since, maxAgeMs: kept }: StreamStatus, maxAgeMs: number | undefined): Line {
  const keeps = kept === undefined ? 'for ever' : `for ${inWords(kept)}`
  const first = since ? `, the first of ${since.toISOString().slice(0, 19)}Z` : ''
  const text = `the stream EVENTS has ${many(messages, 'message')}, ${sizeOf(bytes)}${first}, kept ${keeps}`
  if (maxAgeMs === undefined || maxAgeMs === kept) return ok('log', text)
  return warn(
    'log',
    `${text}, and EVENTS_MAX_AGE asks for ${inWords(maxAgeMs)}: restart play and queue-listener with it`,
  )
}

function judgeRejected({ rejected: { count, lastReason = 'unknown' } }: StreamStatus): Line[] {
  if (count === 0) return []
  const text = `${many(count, 'message')} in events.rejected, the last because: ${lastReason}`
  return [warn('log', `${text}: correct who sends them; none of them counts`)]
}

function judgeCounted(counted: Looks<Counted>): Line[] {
  const { at, end } = counted.first
  if (!at || !end) return judgeCounting(counted)
  if (at.stream === end.stream && at.sequence > end.sequence) {
    const text = `the log ends at ${end.sequence}, before ${at.sequence}, up to where reporting has counted: it lost what it had`
    return [
      fail('counting', `${text}, or was restored from a copy; restart reporting, which then counts what there is`),
    ]
  }
  const lines = judgeCounting(counted)
  // Incarnations are named by their time of creation.
  if (Date.parse(at.stream) > Date.parse(end.stream) && lines.some(({ mark }) => mark === 'FAIL')) {
    return [fail('counting', 'reporting has counted a later log than this one, and refuses it: restart reporting')]
  }
  return lines
}

function sizeOf(bytes: number): string {
  const [unit, size] = bytes >= 1e6 ? ['MB', 1e6] : ['kB', 1e3]
  return `${(bytes / Number(size)).toLocaleString('en', { maximumFractionDigits: 1 })} ${unit}`
}

function inWords(ms: number): string {
  const [unit, size] = ms >= 86_400_000 ? ['d', 86_400_000] : ms >= 3_600_000 ? ['h', 3_600_000] : ['s', 1_000]
  return `${Number((ms / Number(size)).toFixed(1))}${unit}`
}
