import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { DEAD_LETTERS, STREAM } from '../shared/event-log/stream.ts'
import { eventually } from './harness/eventually.ts'
import { natsVersion } from './harness/nats-server.ts'
import { play, views } from './harness/plays.ts'
import { createPoison } from './harness/poison.ts'
import { createRandom } from './harness/random.ts'
import { connectRaw, type RawPublisher } from './harness/raw-nats.ts'
import { type System, startSystem, WITHOUT_CHECKPOINT } from './harness/system.ts'
import { createTempDirectory } from './harness/temp-directory.ts'

const SEED = Number(process.env.POISON_SEED ?? 1)
const MAX_PAYLOAD = 8 * 2 ** 20
/** Long enough for a busy machine; an idle machine needs less than 2 s. */
const LIMIT_MS = Number(process.env.POISON_LIMIT_MS || 10_000)
const MESSAGES = 10_000
const ROUNDS = 20

const { pick, randomBody, randomHeaders } = createPoison(createRandom(SEED))

describe.skipIf(!natsVersion)(`with poison messages in the log and POISON_SEED=${SEED}`, { timeout: 120_000 }, () => {
  let directory: Awaited<ReturnType<typeof createTempDirectory>>
  let system: System
  let raw: RawPublisher
  let played = 0

  beforeAll(async () => {
    directory = await createTempDirectory('poison')
    const config = join(directory.path, 'nats.conf')
    await writeFile(config, `max_payload: ${MAX_PAYLOAD}\n`)
    system = await startSystem(WITHOUT_CHECKPOINT, { config })
    await expectNextViewCounted()
    raw = await connectRaw(system.nats.url)
  })
  afterAll(async () => {
    await raw?.[Symbol.asyncDispose]()
    await system?.[Symbol.asyncDispose]()
    await directory?.[Symbol.asyncDispose]()
  })

  test.each([
    ['a malformed body of almost max_payload', 'x'.repeat(MAX_PAYLOAD - 50), undefined],
    ['a body of almost max_payload that violates the schema', `[${'1,'.repeat(MAX_PAYLOAD / 2 - 40)}1]`, undefined],
    ['a header name with a space', '{}', 'a b: 1'],
    ['a header name that is not ASCII', '{}', Buffer.from([0xff, 0xfe, 0x3a, 0x20, 0x31])],
    ['a header value with a bare line feed', '{}', 'a: 1\nb: 2'],
    ['headers of the maximum size', 'x'.repeat(MAX_PAYLOAD - 70_000), `a: ${'x'.repeat(60_000)}`],
    [
      'an id that is not valid UTF-8',
      Buffer.concat([
        Buffer.from('[{"specversion":"1.0","id":"'),
        Buffer.alloc(200, 0xff),
        Buffer.from('","source":"/x","type":"video.viewed","data":{"assetId":"456","userId":"8"}}]'),
      ]),
      undefined,
    ],
    ['an empty body', '', undefined],
  ])('a message with %s becomes a dead letter exactly once, and the next view is counted', async (_, body, headers) => {
    const before = await deadLetters()
    raw.publish('events.view.poison', Buffer.from(body), headers === undefined ? undefined : Buffer.from(headers))
    await raw.flush()
    await expectNextViewCounted()
    expect(await deadLetters()).toBe(before + 1)
    await restartReporting()
    await expectNextViewCounted()
    expect(await deadLetters()).toBe(before + 1)
  })

  test('a valid message larger than a batch is counted, even during a replay', async () => {
    const events = Array.from({ length: 10_000 }, (_, n) => ({
      specversion: '1.0',
      id: `${n}`.padEnd(256, 'x'),
      source: '/big',
      type: 'video.viewed',
      data: { assetId: 'big'.padEnd(128, 'a'), userId: 'big'.padEnd(128, 'u') },
    }))
    raw.publish('events.view.big', Buffer.from(JSON.stringify(events)))
    await raw.flush()
    const id = 'big'.padEnd(128, 'a')
    await eventually(async () => expect(await views(system.reporting.url, 'asset', id)).toBe(10_000), LIMIT_MS)
    await restartReporting()
    await eventually(async () => expect(await views(system.reporting.url, 'asset', id)).toBe(10_000), 10_000)
  })

  test.each(['999999999', 'NaN', '-1', '1e9'])(
    'a forged dead letter with the sequence %s does not hide a real one',
    async (sequence) => {
      const before = await deadLetters()
      raw.publish(DEAD_LETTERS, Buffer.from('{}'), Buffer.from(`Rejected-Sequence: ${sequence}`))
      await raw.flush()
      await eventually(async () => expect(await deadLetters()).toBe(before + 1))
      raw.publish('events.view.poison', Buffer.from('not JSON'))
      await raw.flush()
      await expectNextViewCounted()
      expect(await deadLetters()).toBe(before + 2)
    },
  )

  test(`${MESSAGES} random messages do not delay views, either live or in a replay`, async () => {
    for (let round = 0; round < ROUNDS; round += 1) {
      for (let n = 0; n < MESSAGES / ROUNDS; n += 1) {
        raw.publish(pick(['events.view.poison', 'events.view.a.b', DEAD_LETTERS]), randomBody(), randomHeaders())
      }
      await raw.flush()
      await expectNextViewCounted()
      if (round % 2 === 0) continue
      await restartReporting()
      await expectNextViewCounted()
    }
    expect(system.listener.lines().join('\n')).not.toContain('reporting refuses a valid batch')
  })

  /** Sends a play, and waits until it and all earlier plays are counted. */
  async function expectNextViewCounted(): Promise<void> {
    played += 1
    await eventually(async () => expect((await play(system.play.url, '456', 'good')).status).toBe(200))
    await eventually(async () => expect(await views(system.reporting.url, 'user', 'good')).toBe(played), LIMIT_MS)
  }

  async function restartReporting(): Promise<void> {
    await system.reporting.signal('SIGKILL')
    await system.reporting.start()
  }

  async function deadLetters(): Promise<number> {
    return system.nats.use(async (connection) => {
      const jsm = await connection.jetstreamManager()
      const { state } = await jsm.streams.info(STREAM, { subjects_filter: DEAD_LETTERS })
      return state.subjects?.[DEAD_LETTERS] ?? 0
    })
  }
})
