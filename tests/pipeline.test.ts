import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { ViewCount } from '../shared/contracts/view-counts.ts'
import { DEAD_LETTERS, STREAM } from '../shared/event-log/stream.ts'
import { jsonRequest } from '../shared/testing/json-request.ts'
import { eventually } from './harness/eventually.ts'
import { natsVersion } from './harness/nats-server.ts'
import { getJson, metric, play, views } from './harness/plays.ts'
import { runningTime } from './harness/running-time.ts'
import { type ServiceProcess, startService } from './harness/service-process.ts'
import { type System, startSystem, WITHOUT_CHECKPOINT } from './harness/system.ts'
import { startTcpProxy } from './harness/tcp-proxy.ts'

describe.skipIf(!natsVersion)('in the pipeline of five processes and a NATS server,', () => {
  let system: System
  beforeAll(async () => {
    system = await startSystem(WITHOUT_CHECKPOINT)
    await ready(system.play)
    await ready(system.listener)
  })
  afterAll(() => system?.[Symbol.asyncDispose]())

  const expectViews = (user: string, expected: number) =>
    eventually(async () => expect(await views(system.reporting.url, 'user', user)).toBe(expected))

  /** Retries until the play returns 200, as a player would. Failed plays are not counted. */
  const playUntilServed = (user: string) =>
    eventually(async () => expect(await play(system.play.url, '456', user)).toMatchObject({ status: 200 }))

  test('a play returns the data from all services, and is counted', async () => {
    const asset = {
      id: '456',
      title: 'Terminator',
      genre: 'action',
      summary: 'Summary for terminator',
      url: 'path/to/asset456.mp4',
    }
    for (const count of [1, 2, 3]) {
      expect(await play(system.play.url, '456', 'first')).toEqual({
        status: 200,
        body: { ...asset, userviews: count, assetviews: count },
      })
      await expectViews('first', count)
    }
    const counts = { id: 'first', views: 3, qualified: 1 }
    expect(await getJson(`${system.reporting.url}/events/user/first`)).toEqual(counts)
  })

  test('the counts are exact if the view is counted while the lookup is on its way', async () => {
    await using proxy = await startTcpProxy(system.reporting.url, 100)
    await using edge = await startService('play', { ...system.env, REPORTING_URL: proxy.url })
    await ready(edge)
    for (const count of [1, 2, 3]) {
      expect((await play(edge.url, '456', 'distant')).body).toMatchObject({ userviews: count })
      await expectViews('distant', count)
    }
  })

  test('a play of an unknown asset gets a 404 and is not counted', async () => {
    expect(await play(system.play.url, 'unknown', 'nobody')).toEqual({
      status: 404,
      body: { id: 'unknown', status: 'Asset not found', requestId: expect.stringMatching(/./) },
    })
    await play(system.play.url, '456', 'somebody')
    await expectViews('somebody', 1)
    expect(await views(system.reporting.url, 'user', 'nobody')).toBe(0)
  })

  test('a change to an asset appears in plays within two seconds', async () => {
    await play(system.play.url, '123', 'reader')
    const fields = { title: 'It, again', genre: 'horror', summary: '' }
    await post(`${system.metadata.url}/content/asset/123`, fields)
    await eventually(async () => {
      const { body } = await play(system.play.url, '123', 'reader')
      expect(body).toMatchObject({ title: 'It, again' })
    }, 2_000)
  })

  test('a cached asset is invalidated even if its id has dots, which separate the tokens in NATS subjects', async () => {
    const titled = (title: string) =>
      post(`${system.metadata.url}/content/asset/a..b.`, { title, genre: 'g', summary: '' })
    await titled('before')
    await post(`${system.cdnurl.url}/url/asset/a..b.`, { url: 'a.mp4' })
    expect((await play(system.play.url, 'a..b.', 'reader')).body).toMatchObject({ title: 'before' })
    await titled('after')
    await eventually(async () => {
      expect((await play(system.play.url, 'a..b.', 'reader')).body).toMatchObject({ title: 'after' })
    }, 2_000)
  })

  test('a hundred concurrent plays cause only a few requests to reporting', async () => {
    const lookups = () => metric(system.reporting.url, /^http_server_request_duration_seconds_count.*\/events\/lookup/)
    let attempts = 0
    // Retry, because fewer plays share a request if other processes delay some of the plays.
    await eventually(async () => {
      attempts += 1
      const before = await lookups()
      await Promise.all(Array.from({ length: 100 }, () => play(system.play.url, '456', 'crowd')))
      const requests = (await lookups()) - before
      expect(requests).toBeGreaterThan(0)
      expect(requests).toBeLessThan(50)
    })
    await expectViews('crowd', 100 * attempts)
  })

  test("the event in the log has the play's request id", async () => {
    await fetch(`${system.play.url}/play/asset/456/user/traced`, {
      method: 'POST',
      headers: { 'x-request-id': 'trace-me' },
    })
    await eventually(async () => {
      const text = await lastMessage('events.view.>')
      expect(JSON.parse(text)[0]).toMatchObject({ requestid: 'trace-me', data: { userId: 'traced' } })
    })
  })

  test('after reporting is killed, it recovers its counts, and counts the views recorded during its downtime', async () => {
    const users = ['r1', 'r2', 'r3']
    for (const user of users) await playUntilServed(user)
    for (const user of users) await expectViews(user, 1)
    const total = await views(system.reporting.url, 'asset', '456')
    const top = await topUsers()
    await system.reporting.signal('SIGKILL')
    for (const user of users) {
      expect(await play(system.play.url, '456', user)).toMatchObject({
        status: 200,
        body: { userviews: null, assetviews: null, degraded: expect.arrayContaining(['reporting']) },
      })
    }
    await system.reporting.start()
    for (const user of users) await expectViews(user, 2)
    expect(await views(system.reporting.url, 'asset', '456')).toBe(total + users.length)
    const expected = top.map(({ id, views }) => ({ id, views: users.includes(id) ? views + 1 : views }))
    expect(await topUsers()).toEqual(expected.toSorted((a, b) => b.views - a.views || (a.id < b.id ? -1 : 1)))
  })

  test('the lag grows while reporting is down, and returns to 0 once all views are counted', async () => {
    await playUntilServed('late')
    await expectViews('late', 1)
    const lag = (unit: string) => metric(system.listener.url, new RegExp(`^event_log_lag_${unit} `))
    await eventually(async () => expect([await lag('messages'), await lag('seconds')]).toEqual([0, 0]))
    await system.reporting.signal('SIGKILL')
    await playUntilServed('late')
    await playUntilServed('late')
    await eventually(async () => expect(await lag('messages')).toBe(2))
    const seconds = await lag('seconds')
    await eventually(async () => expect(await lag('seconds')).toBeGreaterThan(seconds))
    await system.reporting.start()
    await expectViews('late', 3)
    await eventually(async () => expect([await lag('messages'), await lag('seconds')]).toEqual([0, 0]))
  })

  test('after reporting is killed, it recovers its counts even without new plays', async () => {
    await playUntilServed('before-restart')
    await expectViews('before-restart', 1)
    const before = await views(system.reporting.url, 'asset', '456')
    await system.reporting.signal('SIGKILL')
    await system.reporting.start()
    await eventually(async () => expect(await views(system.reporting.url, 'asset', '456')).toBe(before))
  })

  test('after queue-listener is killed, it continues where it stopped', async () => {
    await system.listener.signal('SIGKILL')
    for (let count = 0; count < 5; count += 1) await playUntilServed('unheard')
    await system.listener.start()
    await expectViews('unheard', 5)
  })

  test('plays are served while NATS is down, and counted exactly once after it recovers', async () => {
    await playUntilServed('patient')
    await system.nats.signal('SIGKILL')
    for (let count = 0; count < 3; count += 1) {
      const degraded = { status: 200, body: { degraded: expect.arrayContaining(['events']) } }
      expect(await play(system.play.url, '456', 'patient')).toMatchObject(degraded)
    }
    await system.nats.start()
    await expectViews('patient', 4)
    await eventually(async () =>
      expect((await play(system.play.url, '456', 'again')).body).not.toHaveProperty('degraded'),
    )
  })

  test('the outbox survives kill -9 of play', async () => {
    await system.nats.signal('SIGKILL')
    for (let count = 0; count < 3; count += 1) await playUntilServed('survivor')
    await system.play.signal('SIGKILL')
    await system.nats.start()
    await system.play.start()
    await expectViews('survivor', 3)
  })

  test('a play takes less than a second while NATS hangs, and is counted exactly once after NATS resumes', async () => {
    await system.nats.signal('SIGSTOP')
    for (let count = 0; count < 10; count += 1) {
      const startedAt = runningTime()
      expect(await play(system.play.url, '456', 'hanging')).toMatchObject({ status: 200 })
      expect(runningTime() - startedAt).toBeLessThan(1_000)
    }
    await system.nats.start()
    await expectViews('hanging', 10)
  })

  test('with two queue-listeners, each view is counted once, and one continues when the other is killed', async () => {
    await using second = await startService('queue-listener', system.env)
    await ready(second)
    for (let count = 0; count < 20; count += 1) await playUntilServed('double')
    await expectViews('double', 20)
    await system.listener.signal('SIGKILL')
    for (let count = 0; count < 5; count += 1) await playUntilServed('double')
    await expectViews('double', 25)
    await system.listener.start()
  })

  test('a message that is not a batch of views becomes a dead letter', async () => {
    const deadLetters = () => metric(system.listener.url, /^rejected_messages_total/)
    const before = await deadLetters()
    await system.nats.use((connection) => connection.jetstream().publish('events.view.foreign', 'junk'))
    await playUntilServed('after-junk')
    await expectViews('after-junk', 1)
    expect((await deadLetters()) - before).toBe(1)
    expect(await lastMessage(DEAD_LETTERS)).toBe('junk')
  })

  test('a view from another producer is counted', async () => {
    const event = {
      specversion: '1.0',
      id: 'tv-1',
      source: '/tv',
      type: 'video.viewed',
      data: { assetId: '456', userId: 'tv' },
    }
    await system.nats.use((connection) => connection.jetstream().publish('events.view.tv', JSON.stringify(event)))
    await expectViews('tv', 1)
  })

  test('counts survive the deletion of the stream, and keep growing', async () => {
    await playUntilServed('keeper')
    await expectViews('keeper', 1)
    await system.nats.use(async (connection) => (await connection.jetstreamManager()).streams.delete(STREAM))
    await playUntilServed('keeper')
    await expectViews('keeper', 2)
  })

  test('every service exits with status 0 after SIGTERM', async () => {
    for (const service of [system.play, system.listener, system.reporting, system.cdnurl, system.metadata]) {
      const startedAt = runningTime()
      await service.signal('SIGTERM')
      expect(await service.ended()).toBe(0)
      expect(runningTime() - startedAt).toBeLessThan(10_000)
    }
  })

  const topUsers = async () => {
    const { top } = (await getJson(`${system.reporting.url}/events/top?by=user&limit=100`)) as { top: ViewCount[] }
    return top.map(({ id, views }) => ({ id, views }))
  }

  const lastMessage = (subject: string) =>
    system.nats.use(async (connection) => {
      const jsm = await connection.jetstreamManager()
      return (await jsm.streams.getMessage(STREAM, { last_by_subj: subject })).string()
    })
})

async function ready({ url }: ServiceProcess): Promise<void> {
  await eventually(async () => expect((await fetch(`${url}/readyz`)).status).toBe(200))
}

async function post(url: string, body: unknown): Promise<void> {
  expect((await fetch(url, jsonRequest(body))).status).toBe(200)
}
