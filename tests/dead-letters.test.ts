import { readFile, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { DeadLetterPage } from '../shared/contracts/dead-letter.ts'
import { DEAD_LETTERS, replaySubject, STREAM } from '../shared/event-log/stream.ts'
import { jsonRequest } from '../shared/testing/json-request.ts'
import { startChild } from './harness/child.ts'
import { runDeadLetters } from './harness/dead-letters-command.ts'
import { startEmbedded } from './harness/embedded.ts'
import { eventually } from './harness/eventually.ts'
import { natsVersion } from './harness/nats-server.ts'
import { getJson, metric, play, views } from './harness/plays.ts'
import { insertRaw, publishRaw } from './harness/raw-messages.ts'
import { connectRaw } from './harness/raw-nats.ts'
import { startService } from './harness/service-process.ts'
import { type System, startSystem, WITHOUT_CHECKPOINT } from './harness/system.ts'
import { createTempDirectory } from './harness/temp-directory.ts'

const LOGGED = 'dead letter: not a valid batch of views'
/** An ANSI escape, a bidirectional override, and a C1 control character. */
const HOSTILE = '\u001b[31mred\u202e\u009b'
const UNPRINTABLE = /[^\P{Cc}\n\t]|[\p{Cf}\p{Zl}\p{Zp}]/u

const eventOf = (userId: string, assetId = '456') => ({
  specversion: '1.0',
  id: `view of ${userId}`,
  source: '/tv',
  type: 'video.viewed',
  data: { assetId, userId },
})

async function sequencesAt(listener: string): Promise<number[]> {
  const { deadLetters } = DeadLetterPage.parse(await getJson(`${listener}/dead-letters`))
  return deadLetters.map(({ sequence }) => sequence)
}

/** Waits until there is one dead letter, and returns its sequence. */
const onlyLetter = (listener: string) =>
  eventually(async () => {
    const sequences = await sequencesAt(listener)
    expect(sequences).toHaveLength(1)
    return Number(sequences[0])
  })

const replay = (listener: string, sequence: number, body: object) =>
  fetch(`${listener}/dead-letters/${sequence}/replay`, jsonRequest(body))
const remove = (listener: string, sequence: number) =>
  fetch(`${listener}/dead-letters/${sequence}`, { method: 'DELETE' })

async function doctorOnLog(env: Record<string, string>, args: string[] = []): Promise<string[]> {
  const script = resolve('scripts/doctor/main.ts')
  await using child = startChild(process.execPath, [script, ...args], { env: { CONSUL_HTTP_ADDR: '', ...env } })
  await child.ended
  return child.lines.filter((line) => /^\w+ +(log|counting) /.test(line))
}

describe.skipIf(!natsVersion)('with dead letters,', () => {
  let system: System
  beforeAll(async () => {
    system = await startSystem(WITHOUT_CHECKPOINT)
    await eventually(async () => expect((await play(system.play.url, '456', 'warm-up')).status).toBe(200))
  })
  afterAll(() => system?.[Symbol.asyncDispose]())
  afterEach(async () => {
    const { url } = system.listener
    for (const sequence of await eventually(() => sequencesAt(url))) await remove(url, sequence)
  })

  const viewsOf = (user: string) => views(system.reporting.url, 'user', user)
  const expectViews = (user: string, count: number) => eventually(async () => expect(await viewsOf(user)).toBe(count))

  /** Sends a play, and waits until it and all earlier plays are counted. */
  async function expectAllCounted(): Promise<void> {
    const before = await viewsOf('next')
    await play(system.play.url, '456', 'next')
    await expectViews('next', before + 1)
  }

  const countOn = (subject: string) =>
    system.nats.use(async (connection) => {
      const jsm = await connection.jetstreamManager()
      const { state } = await jsm.streams.info(STREAM, { subjects_filter: subject })
      return state.subjects?.[subject] ?? 0
    })

  async function restartReporting(): Promise<void> {
    await system.reporting.signal('SIGKILL')
    await system.reporting.start()
    await eventually(async () => expect(await metric(system.listener.url, /^event_log_lag_messages/)).toBe(0))
  }

  test('concurrent replays through two queue-listener instances are counted once, even after reporting restarts', async () => {
    await using other = await startService('queue-listener', system.env)
    await publishRaw(system.nats, ['not json'])
    const sequence = await onlyLetter(system.listener.url)
    // The second instance has just started: wait until it has read the log.
    expect(await onlyLetter(other.url)).toBe(sequence)
    const replays = [system.listener.url, other.url].flatMap((url) =>
      [1, 2, 3].map(() => replay(url, sequence, eventOf('twice'))),
    )
    const responses = await Promise.all(replays)
    expect(responses.map(({ status }) => status).toSorted()).toEqual([200, 409, 409, 409, 409, 409])
    await expectViews('twice', 1)
    await expectAllCounted()
    expect(await viewsOf('twice')).toBe(1)
    await restartReporting()
    await expectAllCounted()
    expect(await viewsOf('twice')).toBe(1)
  })

  test('when a replay and a deletion race, only one succeeds, and the response to the loser names the winner', async () => {
    for (let round = 0; round < 5; round += 1) {
      const user = `raced-${round}`
      await publishRaw(system.nats, ['not json'])
      const sequence = await onlyLetter(system.listener.url)
      const { url } = system.listener
      const [replayed, deleted] = await Promise.all([replay(url, sequence, eventOf(user)), remove(url, sequence)])
      const [winner, loser] = replayed.ok ? [replayed, deleted] : [deleted, replayed]
      expect([winner.status, loser.status]).toEqual([200, 409])
      const status = `Dead letter already ${replayed.ok ? 'replayed' : 'deleted'}`
      expect(await loser.json()).toMatchObject({ sequence, status })
      await expectAllCounted()
      expect(await viewsOf(user)).toBe(replayed.ok ? 1 : 0)
      expect(await countOn(replaySubject(sequence))).toBe(1)
    }
  })

  test('a resolved dead letter stays resolved after restarts, and each dead letter is logged once', async () => {
    const { url } = system.listener
    /** The number of dead letters that the current process has logged. */
    const logged = () => system.listener.lines().filter((line) => line.includes(LOGGED)).length
    const before = logged()
    await publishRaw(system.nats, ['replayed', 'deleted', 'unresolved'])
    const [first = 0, second = 0, third = 0] = await eventually(async () => {
      const sequences = await sequencesAt(url)
      expect(sequences).toHaveLength(3)
      return sequences
    })
    expect((await replay(url, first, eventOf('restarted'))).status).toBe(200)
    expect((await remove(url, second)).status).toBe(200)
    await eventually(() => expect(logged()).toBe(before + 3))
    await system.listener.signal('SIGKILL')
    await system.listener.start()
    for (let restart = 0; restart < 2; restart += 1) {
      await restartReporting()
      await expectAllCounted()
      expect(await sequencesAt(url)).toEqual([third])
      expect(await countOn(DEAD_LETTERS)).toBe(1)
      expect(await viewsOf('restarted')).toBe(1)
    }
    expect(logged()).toBe(0)
  })

  test('the doctor warns until every dead letter is resolved, and prints no control characters', async () => {
    const env = { ...system.env, PLAY_URL: system.play.url }
    await publishRaw(system.nats, ['not json'])
    const sequence = await onlyLetter(system.listener.url)
    const headers = `Rejected-Sequence: ${sequence + 1}\r\nRejected-Subject: events.view.tv\r\nRejected-Reason: ${HOSTILE}`
    await using raw = await connectRaw(system.nats.url)
    raw.publish(DEAD_LETTERS, Buffer.from('{}'), Buffer.from(headers))
    await raw.flush()
    await eventually(async () => {
      const warnings = (await doctorOnLog(env)).filter((line) => line.includes('dead letter'))
      expect(warnings).toEqual([expect.stringMatching(/^warn +log +2 dead letters in .*red.*npm run dead-letters/)])
      expect(warnings.join()).not.toMatch(UNPRINTABLE)
    })
    for (const letter of [sequence, sequence + 1]) await remove(system.listener.url, letter)
    await eventually(async () => {
      const lines = await doctorOnLog(env)
      expect(lines.join('\n')).toContain('stream EVENTS')
      expect(lines.join('\n')).not.toContain('dead letter')
    })
  })

  describe('npm run dead-letters', () => {
    const env = () => ({ QUEUE_LISTENER_URL: system.listener.url })

    test('lists, shows, repairs and replays a dead letter, and then reports it as replayed', async () => {
      const directory = await createTempDirectory('dead-letters')
      await using _ = directory
      expect(await runDeadLetters(env())).toMatchObject({ status: 0, lines: ['No dead letters.'] })
      const broken = [eventOf('repaired', '/'), eventOf('kept')]
      await publishRaw(system.nats, [JSON.stringify(broken)])
      const sequence = await onlyLetter(system.listener.url)

      const { lines } = await runDeadLetters(env(), 'list')
      expect(lines[0]).toMatch(/^ sequence +since +size +subject +reason$/)
      expect(lines[1]).toMatch(new RegExp(`^ +${sequence}  20\\S+ \\S+ +\\d+  events.view.tv +(. Invalid.*|.*…)$`))
      expect(lines.at(-1)).toBe('1 dead letter.')

      const shown = await runDeadLetters(env(), 'show', String(sequence))
      expect(shown.text).toContain(`sequence  ${sequence}\n`)
      expect(shown.text).toContain(JSON.stringify(broken))

      const { text: body } = await runDeadLetters(env(), 'show', String(sequence), '--body')
      expect(JSON.parse(body)).toEqual(broken)
      const refused = await runDeadLetters(env(), 'replay', String(sequence))
      expect(refused).toMatchObject({ status: 1, text: expect.stringContaining('400 Invalid request') })

      const file = join(directory.path, 'letter.json')
      await writeFile(file, body.replace('"/"', '"456"'))
      const replayed = await runDeadLetters(env(), 'replay', String(sequence), file)
      expect(replayed).toMatchObject({
        status: 0,
        text: expect.stringMatching(`^Replayed ${sequence}: 2 views, at sequence`),
      })
      await expectViews('repaired', 1)
      await expectViews('kept', 1)
      const again = await runDeadLetters(env(), 'delete', String(sequence))
      expect(again).toMatchObject({ status: 1, text: expect.stringContaining('409 Dead letter already replayed') })
      expect(await runDeadLetters(env())).toMatchObject({ lines: ['No dead letters.'] })
    })

    test('writes a body that is not UTF-8 to a file, byte for byte', async () => {
      await using directory = await createTempDirectory('dead-letters')
      const bytes = Buffer.from([0x5b, 0xff, 0x00, 0x0a])
      await using raw = await connectRaw(system.nats.url)
      raw.publish('events.view.tv', bytes)
      await raw.flush()
      const sequence = await onlyLetter(system.listener.url)
      const file = join(directory.path, 'letter')
      const redirect = 'exec "$0" scripts/dead-letters/main.ts show "$1" --body >"$2"'
      await using child = startChild('sh', ['-c', redirect, process.execPath, String(sequence), file], { env: env() })
      expect([await child.ended, child.lines]).toEqual([0, []])
      expect(await readFile(file)).toEqual(bytes)
    })

    test('writes no body if the log no longer has it', async () => {
      const sequence = await system.nats.use(async (connection) => {
        const { seq } = await connection.jetstream().publish(DEAD_LETTERS, 'no dead letter')
        await (await connection.jetstreamManager()).streams.deleteMessage(STREAM, seq)
        return seq
      })
      const rejected = [
        `Sequence: ${sequence}`,
        'Subject: events.view.tv',
        'Reason: invalid',
        'Body-Omitted: too-large',
      ]
      await using raw = await connectRaw(system.nats.url)
      raw.publish(DEAD_LETTERS, Buffer.of(), Buffer.from(rejected.map((line) => `Rejected-${line}`).join('\r\n')))
      await raw.flush()
      expect(await onlyLetter(system.listener.url)).toBe(sequence)
      const shown = await runDeadLetters(env(), 'show', String(sequence))
      expect(shown).toMatchObject({ status: 0, text: expect.stringContaining('(the log no longer has the body)') })
      expect(await runDeadLetters(env(), 'show', String(sequence), '--body')).toMatchObject({
        status: 1,
        lines: [`npm run dead-letters: the log no longer has the body of ${sequence}`],
      })
    })

    test('deletes a dead letter', async () => {
      await publishRaw(system.nats, ['not json'])
      const sequence = await onlyLetter(system.listener.url)
      expect(await runDeadLetters(env(), 'delete', String(sequence))).toMatchObject({
        status: 0,
        lines: [`Deleted ${sequence}. Its views are not counted.`],
      })
      expect(await sequencesAt(system.listener.url)).toEqual([])
    })

    test('prints no control characters, and prints rows that fit the terminal', async () => {
      await using raw = await connectRaw(system.nats.url)
      raw.publish(`events.view.${HOSTILE}`, Buffer.from(`[1,"${HOSTILE}`), Buffer.from(`X: ${HOSTILE}`))
      await raw.flush()
      const sequence = await onlyLetter(system.listener.url)
      const listed = await runDeadLetters({ ...env(), COLUMNS: '90' }, 'list')
      for (const line of listed.lines) expect(line.length).toBeLessThanOrEqual(90)
      const shown = await runDeadLetters(env(), 'show', String(sequence))
      expect(shown.text).toContain('[1,"\\u001b[31mred\\u202e\\u009b')
      expect(shown.text).toContain('header    X: ')
      const body = await runDeadLetters(env(), 'show', String(sequence), '--body')
      const refused = await runDeadLetters(env(), 'replay', String(sequence))
      for (const { text } of [listed, shown, body, refused]) expect(text).not.toMatch(UNPRINTABLE)
      const logged = system.listener.lines().filter((line) => line.includes(LOGGED))
      expect(logged.join('\n')).not.toMatch(UNPRINTABLE)
    })

    test.each([
      [['show', '999999'], 1, /404 Dead letter not found$/],
      [['show'], 2, /the sequence number is missing/],
      [['show', 'x'], 2, /"x" is not a sequence number/],
      [['replay', '1', '/nowhere'], 2, /cannot read the file "\/nowhere"$/],
      [['delete', '1', '2'], 2, /unexpected argument "2"/],
      [['forget'], 2, /unknown command "forget"/],
      [['--port', '80'], 2, /--port is "80"/],
      [['--colour'], 2, /--colour/],
      [['--help'], 0, /QUEUE_LISTENER_URL/],
    ])('%j exits with status %d', async (args, status, output) => {
      const result = await runDeadLetters(env(), ...args)
      expect(result).toMatchObject({ status, text: expect.stringMatching(output) })
      if (status > 0) expect(result.lines).toHaveLength(1)
    })

    test('exits with status 1 if queue-listener is not reachable', async () => {
      const { status, text } = await runDeadLetters({ QUEUE_LISTENER_URL: 'http://127.0.0.1:9' }, 'list')
      expect([status, text]).toEqual([
        1,
        expect.stringContaining('queue-listener is not reachable at http://127.0.0.1:9'),
      ])
    })
  })
})

describe.skipIf(!natsVersion)('a queue-listener with a write token', () => {
  test('shows dead letters only to clients that send the token', async () => {
    await using system = await startSystem({ WRITE_TOKEN: 'the-token' })
    await publishRaw(system.nats, ['not json'])
    const env = { QUEUE_LISTENER_URL: system.listener.url }
    const denied = await runDeadLetters(env, 'list')
    expect([denied.status, denied.text]).toEqual([1, expect.stringContaining('401 Unauthorized; set WRITE_TOKEN')])
    await eventually(async () => {
      const { status, text } = await runDeadLetters({ ...env, WRITE_TOKEN: 'the-token' }, 'list')
      expect([status, text]).toEqual([0, expect.stringContaining('1 dead letter.')])
    })
  })
})

describe.skipIf(!natsVersion)(
  'a queue-listener that was killed after it had stored a replay',
  { timeout: 60_000 },
  () => {
    let directory: Awaited<ReturnType<typeof createTempDirectory>>
    beforeEach(async () => {
      directory = await createTempDirectory('killed')
    })
    afterEach(() => directory[Symbol.asyncDispose]())

    /**
     * Allows or forbids clients to delete messages from the stream. Without this permission, queue-listener cannot
     * remove the copy of a dead letter.
     */
    async function configure(mayRemove: boolean): Promise<string> {
      const file = join(directory.path, 'nats.conf')
      const denied = mayRemove ? 'nothing' : `$JS.API.STREAM.MSG.DELETE.${STREAM}`
      const permissions = `{ publish: { deny: ["${denied}"] } }`
      const users = `users: [{ user: u, password: p, permissions: ${permissions} }]`
      await writeFile(file, `authorization { ${users} }\nno_auth_user: u\n`)
      return file
    }

    test('removes the copy of the dead letter after a restart', async () => {
      await using system = await startSystem({}, { config: await configure(false) })
      const { url } = system.listener
      await publishRaw(system.nats, ['not json'])
      const sequence = await onlyLetter(url)
      const copies = () =>
        system.nats.use(async (connection) => {
          const jsm = await connection.jetstreamManager()
          const { state } = await jsm.streams.info(STREAM, { subjects_filter: '>' })
          return [state.subjects?.[DEAD_LETTERS] ?? 0, state.subjects?.[replaySubject(sequence)] ?? 0]
        })
      const replaying = replay(url, sequence, eventOf('killed')).catch(() => undefined)
      await eventually(async () => expect(await copies()).toEqual([1, 1]))
      await system.listener.signal('SIGKILL')
      await replaying
      await configure(true)
      await system.nats.signal('SIGKILL')
      await system.nats.start()
      await system.listener.start()
      await eventually(async () => expect(await copies()).toEqual([0, 1]))
      await eventually(async () => expect(await views(system.reporting.url, 'user', 'killed')).toBe(1))
      expect((await replay(url, sequence, eventOf('killed'))).status).toBe(409)
      expect(await sequencesAt(url)).toEqual([])
    })
  },
)

describe('dead letters in embedded mode', () => {
  test('are logged once, and stay resolved after a restart', async () => {
    const invalid = ['not json', `"${HOSTILE}"`]
    await using system = await startEmbedded({}, (dataDir) => insertRaw(dataDir, invalid))
    const { url } = system['queue-listener']
    const env = { QUEUE_LISTENER_URL: url }
    const doctorArgs = ['--port', new URL(system.play.url).port]
    await eventually(async () => expect(await sequencesAt(url)).toEqual([1, 2]))
    const listed = await runDeadLetters(env, 'list')
    expect(listed).toMatchObject({ status: 0, text: expect.stringContaining('2 dead letters.') })
    expect(listed.text).not.toMatch(UNPRINTABLE)
    const shown = await runDeadLetters(env, 'show', '2')
    expect(shown.text).toContain('\\u001b[31mred\\u202e\\u009b')
    expect(shown.text).not.toMatch(UNPRINTABLE)
    await eventually(async () => {
      const lines = await doctorOnLog({ NATS_URL: '' }, doctorArgs)
      expect(lines.join('\n')).toMatch(/^warn +log +2 dead letters: .*npm run dead-letters/m)
    })

    const replays = [1, 2, 3].map(() => replay(url, 1, eventOf('embedded')))
    expect((await Promise.all(replays)).map(({ status }) => status).toSorted()).toEqual([200, 409, 409])
    expect(await runDeadLetters(env, 'delete', '2')).toMatchObject({ status: 0 })
    const logged = () => system.process.lines().filter((line) => line.includes(LOGGED)).length
    expect(logged()).toBe(invalid.length)
    await system.process.signal('SIGKILL')
    await system.process.start()
    await eventually(async () => expect(await views(system.reporting.url, 'user', 'embedded')).toBe(1))
    expect(await sequencesAt(url)).toEqual([])
    expect((await replay(url, 1, eventOf('embedded'))).status).toBe(409)
    expect(logged()).toBe(0)
    await eventually(async () => {
      const lines = await doctorOnLog({ NATS_URL: '' }, doctorArgs)
      expect(lines.join('\n')).toMatch(/embedded mode/)
      expect(lines.join('\n')).not.toContain('dead letter')
    })
  })
})
