import { readFile } from 'node:fs/promises'
import { Ajv } from 'ajv'
import addFormats from 'ajv-formats'
import { CloudEvent, HTTP } from 'cloudevents'
import { headers, type JsMsg, type MsgHdrs } from 'nats'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { eventually } from './harness/eventually.ts'
import { natsVersion } from './harness/nats-server.ts'
import { play, views, warmUp } from './harness/plays.ts'
import { type System, startSystem } from './harness/system.ts'

/** Clients that are based only on docs/events.md and docs/asyncapi.yaml. */
describe.skipIf(!natsVersion)('a third-party client', () => {
  let system: System
  beforeAll(async () => {
    // The long timeout keeps views out of the outbox, from which they would reach the log too late.
    system = await startSystem({ APPEND_TIMEOUT: '5s' })
    await warmUp(system.play.url)
  })
  afterAll(() => system?.[Symbol.asyncDispose]())

  const expectViews = (user: string, expected: number) =>
    eventually(async () => expect(await views(system.reporting.url, 'user', user)).toBe(expected))

  test('appends a view, which is counted', async () => {
    const { headers, body } = HTTP.structured(viewOf('alone'))
    await append('events.view.alone', headers['content-type'], body, 0)
    await expectViews('alone', 1)
  })

  test('appends a batch of views, and each is counted', async () => {
    const batch = JSON.stringify([viewOf('together'), viewOf('together'), viewOf('apart')])
    await append('events.view.importer.today', 'application/cloudevents-batch+json', batch, 0)
    await expectViews('together', 2)
    await expectViews('apart', 1)
  })

  test('resends a view after a lost acknowledgement, and it is counted once', async () => {
    const subject = 'events.view.careful'
    const sent = JSON.stringify(viewOf('once'))
    const stored = await append(subject, 'application/cloudevents+json', sent, 0)
    await expect(append(subject, 'application/cloudevents+json', sent, 0)).rejects.toMatchObject({
      api_error: { err_code: 10_071 },
    })
    const last = await lastOn(subject)
    expect([last.seq, last.string()]).toEqual([stored, sent])
    await append(subject, 'application/cloudevents+json', JSON.stringify(viewOf('once-after')), stored)
    await expectViews('once-after', 1)
    expect(await views(system.reporting.url, 'user', 'once')).toBe(1)
  })

  test('appends something that is not a view, finds it in events.rejected, and blocks nothing', async () => {
    const subject = 'events.view.mistaken'
    const { body } = HTTP.structured(new CloudEvent({ source: 'urn:test', type: 'video.paused', data: {} }))
    const sequence = await append(subject, 'application/cloudevents+json', body, 0)
    await append(subject, 'application/cloudevents+json', JSON.stringify(viewOf('next')), sequence)
    await expectViews('next', 1)
    const kept = await lastOn('events.rejected')
    expect(kept.string()).toBe(body)
    expect(kept.header.get('Content-Type')).toBe('application/cloudevents+json')
    expect(kept.header.get('Rejected-Sequence')).toBe(String(sequence))
    expect(kept.header.get('Rejected-Subject')).toBe(subject)
    expect(kept.header.get('Rejected-Reason')).toContain('video.viewed')
  })

  test("reads play's events, which are CloudEvents with the documented attributes", async () => {
    const { PlayEvent, ViewEvent } = parse(await readFile('docs/asyncapi.yaml', 'utf8')).components.schemas
    const isValid = addFormats.default(new Ajv({ strict: true })).compile({ allOf: [ViewEvent, PlayEvent] })
    const documented = Object.keys({ ...ViewEvent.properties, ...PlayEvent.properties })
    const users = Array.from({ length: 40 }, (_, index) => `read-${index}`)
    await Promise.all(users.map((user) => play(system.play.url, '456', user)))

    const ofPlay = (await readAll()).filter((message) => message.string().includes('"source":"/play/'))
    const events = ofPlay.flatMap(eventsOf)
    expect(events.length).toBeGreaterThanOrEqual(users.length)
    expect(events.every((event) => event.validate())).toBe(true)
    for (const event of ofPlay.flatMap((message) => message.json<object[]>())) {
      expect(documented).toEqual(expect.arrayContaining(Object.keys(event)))
      expect(isValid(event), JSON.stringify(isValid.errors)).toBe(true)
      expect(event).toMatchObject({ subject: '456', data: { assetId: '456' } })
    }
    const seen = events.map(({ data }) => Object(data).userId)
    expect(seen).toEqual(expect.arrayContaining(users))
    expect(new Set(events.map(({ id }) => id)).size).toBe(events.length)
  })

  /** Appends a message if the last one on the subject has the given sequence. Returns the new sequence. */
  const append = (subject: string, type: unknown, body: unknown, lastSubjectSequence: number) =>
    system.nats.use(async (connection) => {
      const expected = { headers: contentType(type), expect: { lastSubjectSequence } }
      return (await connection.jetstream().publish(subject, String(body), expected)).seq
    })

  const lastOn = (subject: string) =>
    system.nats.use(async (connection) =>
      (await connection.jetstreamManager()).streams.getMessage('EVENTS', { last_by_subj: subject }),
    )

  /** All messages in the log that contain views. */
  const readAll = () =>
    system.nats.use(async (connection) => {
      const consumer = await connection.jetstream().consumers.get('EVENTS', { filterSubjects: 'events.view.>' })
      const read: JsMsg[] = []
      const messages = await consumer.consume()
      for await (const message of messages) {
        read.push(message)
        if (message.info.pending === 0) messages.stop()
      }
      return read
    })
})

function viewOf(userId: string) {
  return new CloudEvent({ source: 'https://importer.example', type: 'video.viewed', data: { assetId: '456', userId } })
}

/** Parses a message as if it were an HTTP message with the same headers and body. The SDK validates each event. */
function eventsOf(message: JsMsg): CloudEvent[] {
  const type = message.headers?.get('Content-Type')
  return [HTTP.toEvent({ headers: { 'content-type': type }, body: message.string() })].flat() as CloudEvent[]
}

function contentType(type: unknown): MsgHdrs {
  const messageHeaders = headers()
  messageHeaders.set('Content-Type', String(type))
  return messageHeaders
}
