import autocannon from 'autocannon'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { eventually } from './harness/eventually.ts'
import { natsVersion } from './harness/nats-server.ts'
import { metric, play, views, warmUp } from './harness/plays.ts'
import { runningTime } from './harness/running-time.ts'
import { type System, startSystem } from './harness/system.ts'

const CONNECTIONS = 2_000
/** Together, the connections send far more concurrent plays than play admits, so that play must shed load. */
const PLAYS_PER_CONNECTION = 16
const SECONDS = 6
const MEBIBYTE = 2 ** 20

describe.skipIf(!natsVersion)('under overload,', () => {
  let system: System
  beforeAll(async () => {
    system = await startSystem()
    await warmUp(system.play.url)
  })
  afterAll(() => system?.[Symbol.asyncDispose]())

  test('excess plays get a 503 immediately, memory stays bounded, and every served play is counted', async () => {
    const { url } = system.play
    // While reporting hangs, plays wait for their counts, so that many are in flight even on a fast machine.
    await system.reporting.signal('SIGSTOP')
    const load = autocannon({
      url: `${url}/play/asset/456/user/crowd`,
      method: 'POST',
      connections: CONNECTIONS,
      pipelining: PLAYS_PER_CONNECTION,
      duration: SECONDS,
    })
    expect((await fetch(`${url}/healthz`)).status).toBe(200)
    await eventually(async () => expect(await responses(503)).toBeGreaterThan(1_000), SECONDS * 1_000)
    await system.reporting.signal('SIGCONT')
    await load
    expect(await responses(200)).toBeGreaterThan(1_000)
    await eventually(async () =>
      expect(await metric(url, /^process_resident_memory_bytes /)).toBeLessThan(512 * MEBIBYTE),
    )

    await eventually(async () => expect((await timedPlay()).status).toBe(200), 1_000)
    // Retry, because other processes may keep the machine busy.
    await eventually(async () => {
      const { status, ms } = await timedPlay()
      expect(status).toBe(200)
      expect(ms).toBeLessThan(500)
    }, 5_000)
    const served = await responses(200)
    await eventually(async () => expect(await views(system.reporting.url, 'asset', '456')).toBe(served), 20_000)
    const lines = system.play.lines().filter((line) => line.includes('request not served'))
    expect(lines.length).toBeGreaterThan(0)
    expect(lines.length).toBeLessThan(3 * SECONDS)
  })

  const responses = (status: number) =>
    metric(system.play.url, new RegExp(`^http_server_request_duration_seconds_count.*/play/.*status_code="${status}"`))

  async function timedPlay() {
    const startedAt = runningTime()
    const { status } = await play(system.play.url, '456', 'crowd')
    return { status, ms: runningTime() - startedAt }
  }
})
