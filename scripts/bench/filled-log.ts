import { randomBytes, randomUUIDv7 } from 'node:crypto'
import { LookedUpCounts } from '../../shared/contracts/view-counts.ts'
import type { NewView, Producer } from '../../shared/event-log/event-log.ts'
import { STREAM } from '../../shared/event-log/stream.ts'
import { jsonRequest } from '../../shared/testing/json-request.ts'
import { openNatsEventLog } from '../../tests/harness/nats-event-log.ts'
import { startNatsServer } from '../../tests/harness/nats-server.ts'
import { withResources } from '../../tests/harness/resources.ts'
import { sizeOf } from './disk.ts'

/** The approximate number of views that a play process appends in one message at 128 connections. */
const VIEWS_PER_MESSAGE = 60
const PRODUCERS = 8
const ASSETS = 500
/** The number of users whose counts are compared. */
const COMPARED = 400

export type LogSize = { views: number; users: number }

/** A log of views by random users. `verify` checks the counts that reporting serves. */
export type FilledLog = AsyncDisposable &
  LogSize & {
    url: string
    bytes: number
    /** @throws Error unless reporting serves exactly the log's counts */
    verify(reporting: string): Promise<void>
  }

/** Starts a NATS server, and appends views to its log as play would: with serials, request ids and trace ids. */
export async function startFilledLog({ views, users }: LogSize): Promise<FilledLog> {
  await using stack = new AsyncDisposableStack()
  const nats = stack.use(await startNatsServer())
  const counts = new Uint32Array(users)
  await append(nats.url, views, (n) => {
    const user = Math.floor(Math.random() * users)
    counts[user] = (counts[user] ?? 0) + 1
    return { assetId: `asset-${n % ASSETS}`, userId: toUserId(user) }
  })
  const bytes = await sizeOf(nats.directoryOf(STREAM))
  const verify = (reporting: string) => expectCounts(reporting, views, counts)
  return withResources({ url: nats.url, views, users, bytes, verify }, stack)
}

async function append(url: string, views: number, toPlay: (n: number) => Pick<NewView, 'assetId' | 'userId'>) {
  const { signal } = new AbortController()
  await using eventLog = await openNatsEventLog(url)
  let appended = 0

  async function appendAll(producer: Producer): Promise<void> {
    for (let serial = 1; appended < views; ) {
      const from = appended
      appended = Math.min(views, from + VIEWS_PER_MESSAGE)
      const message: NewView[] = []
      for (let n = from; n < appended; n += 1) message.push({ ...toRecord(), ...toPlay(n), serial: serial++ })
      await producer.append(message, signal)
    }
  }

  await Promise.all(Array.from({ length: PRODUCERS }, () => appendAll(eventLog.producer('/bench'))))
}

/** A view's fields besides its asset and user. */
function toRecord() {
  const [requestId, spanId] = [randomBytes(16).toString('hex'), randomBytes(8).toString('hex')]
  const traceparent = `00-${requestId}-${spanId}-00`
  return { id: randomUUIDv7(), at: new Date().toISOString(), requestId, traceparent }
}

async function expectCounts(reporting: string, views: number, counts: Uint32Array): Promise<void> {
  const step = Math.max(1, Math.floor(counts.length / COMPARED))
  const expected = new Map<string, number>()
  counts.forEach((count, user) => {
    if (user % step === 0 && expected.size < COMPARED) expected.set(toUserId(user), count)
  })
  const assets = Array.from({ length: ASSETS }, (_, n) => `asset-${n}`)
  const response = await fetch(`${reporting}/events/lookup`, jsonRequest({ assets, users: [...expected.keys()] }))
  const found = LookedUpCounts.parse(await response.json())
  const sum = Object.values(found.assets).reduce((total, count) => total + count, 0)
  if (sum !== views) throw new Error(`reporting counted ${sum} views, but the log has ${views}`)
  for (const [user, count] of expected) {
    if (found.users[user] !== count) throw new Error(`${user} has ${found.users[user]} views instead of ${count}`)
  }
}

function toUserId(user: number): string {
  return `user-${user}@example.com`
}
