import type { Counting } from '../../shared/contracts/counting.ts'
import { PositionConflict } from '../../shared/contracts/event-batch.ts'
import { LostViews } from '../../shared/contracts/lost-views.ts'
import { fromNullablePosition, type LogPosition, Position, toPosition } from '../../shared/contracts/position.ts'
import { Readiness } from '../../shared/contracts/readiness.ts'
import { Problem } from '../../shared/contracts/status.ts'
import type { LogExtent, SequenceRange } from '../../shared/event-log/extent.ts'
import { readStreamStatus, type StreamStatus } from '../../shared/event-log/stream-status.ts'
import { connectToNats } from '../../shared/nats/connect.ts'
import type { NatsAccess } from '../../shared/nats/credentials.ts'
import { openJetStreamManager } from '../../shared/nats/jetstream.ts'
import { toLine } from '../../shared/runtime/printable.ts'
import { toReason } from '../../shared/runtime/reason.ts'
import type { Secret } from '../../shared/runtime/secret.ts'
import { probe, send } from '../http.ts'
import { logUnavailable } from '../log-unavailable.ts'

const READ_TIMEOUT_MS = 2_000
const POST_TIMEOUT_MS = 30_000
const MAX_TEXT = 500

/** The command failed. The message is safe to print, and says what to do. */
export class CountsError extends Error {
  override name = 'CountsError'
}

export type Target = { nats: NatsAccess; reporting: string[]; token: Secret | undefined }

/** An instance of reporting; `readiness` is undefined if it did not respond. */
export type Instance = { origin: string; readiness: Readiness | undefined }

export function readInstances({ reporting }: Target): Promise<Instance[]> {
  return Promise.all(
    reporting.map(async (origin) => {
      const { json } = await probe(`${origin}/readyz`)
      return { origin, readiness: Readiness.safeParse(json).data }
    }),
  )
}

/**
 * Verifies that all instances share one store, and returns an instance that is up.
 * @throws CountsError
 */
export async function findReporting(target: Target): Promise<{ origin: string; counting: Counting | undefined }> {
  const up = (await readInstances(target)).filter(({ readiness }) => readiness)
  const stores = new Set(up.flatMap(({ readiness }) => readiness?.counting?.store ?? []))
  const [first] = up
  if (!first) throw new CountsError(`reporting is not reachable at ${target.reporting.join(', ')}`)
  if (stores.size < 2) return { origin: first.origin, counting: first.readiness?.counting }
  throw new CountsError(
    `the reporting instances use ${stores.size} different stores: run only one, or set the same DATABASE_URL for all of them`,
  )
}

/** Reads the position of the counts. Returns undefined before the first batch. @throws CountsError */
export async function readPosition(origin: string, timeoutMs = READ_TIMEOUT_MS): Promise<LogPosition | undefined> {
  const { json, text } = await probe(`${origin}/events/position`, { timeoutMs })
  const position = Position.nullable().safeParse(json)
  if (!position.success) throw new CountsError(`reporting at ${origin} does not return a position: ${short(text)}`)
  return fromNullablePosition(position.data)
}

/** Reads the number of views that the log acknowledged and then lost. Undefined if reporting does not return it. */
export async function readLostViews(origin: string): Promise<number | undefined> {
  const { json } = await probe(`${origin}/events/lost`)
  return LostViews.safeParse(json).data?.views
}

/** @returns undefined if the stream does not exist. @throws CountsError */
export async function readLog({ nats }: Target): Promise<StreamStatus | undefined> {
  try {
    await using stack = new AsyncDisposableStack()
    const connection = await connectToNats({ ...nats, name: 'counts', timeoutMs: READ_TIMEOUT_MS })
    stack.defer(() => connection.close())
    return await readStreamStatus(await openJetStreamManager({ connection: () => connection }))
  } catch (error) {
    throw new CountsError(logUnavailable(nats.servers, short(toReason(error))))
  }
}

type Skip = { position: LogPosition | undefined; extent: LogExtent; missing: SequenceRange }

/**
 * Moves the position of the counts past the missing messages, unless the position has changed in the meantime.
 * @throws CountsError
 */
export async function skipMissing(origin: string, token: Secret | undefined, skip: Skip): Promise<void> {
  const { position, missing, extent } = skip
  const { incarnation, first, last } = extent
  const leaving = position && position.incarnation !== incarnation ? { leaving: toPosition(position) } : {}
  const range = { stream: incarnation, after: missing.from - 1, through: missing.to, views: [] }
  const { status, json } = await post(origin, token, { ...range, first, end: last, ...leaving })
  if (status === 200) return
  if (PositionConflict.safeParse(json).success) {
    throw new CountsError('nothing was changed, because counting has moved on: run the command again')
  }
  const hint = status === 401 ? "; set WRITE_TOKEN to reporting's token" : ''
  const problem = Problem.safeParse(json).data?.status ?? ''
  throw new CountsError(`reporting at ${origin} returned ${status} ${problem}${hint}`)
}

async function post(origin: string, token: Secret | undefined, batch: object) {
  try {
    const body = JSON.stringify(batch)
    return await send(`${origin}/events`, { method: 'POST', token, body, timeoutMs: POST_TIMEOUT_MS })
  } catch (error) {
    throw new CountsError(`reporting at ${origin} did not respond (${short(toReason(error))}): run npm run counts`)
  }
}

function short(text: string): string {
  return toLine(text, MAX_TEXT)
}
