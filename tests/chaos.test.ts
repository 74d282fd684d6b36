import { setTimeout as sleep } from 'node:timers/promises'
import { Agent, request } from 'undici'
import { describe, expect, test } from 'vitest'
import { STREAM, VIEWS } from '../shared/event-log/stream.ts'
import { eventually } from './harness/eventually.ts'
import { natsVersion } from './harness/nats-server.ts'
import { getJson, metric, views } from './harness/plays.ts'
import { createRandom } from './harness/random.ts'
import { type System, startSystem } from './harness/system.ts'

const seed = Number(process.env.CHAOS_SEED || Math.floor(Math.random() * 1_000_000))
const seconds = Number(process.env.CHAOS_SECONDS || 20)
const PLAYERS = 24
const SETTLE_MS = 60_000

/** Plays by outcome. Only where play died under a request nobody knows whether it counted. */
type Tally = { answered: number; cutOff: number; refused: number }

describe.skipIf(!natsVersion)('chaos', () => {
  const name = `plays answered 200 are views counted, whatever is killed or stopped (CHAOS_SEED=${seed}, ${seconds} s)`
  test(name, { timeout: seconds * 1_000 + SETTLE_MS * 2 }, async () => {
    await using system = await startSystem()
    await eventually(async () => expect((await fetch(`${system.play.url}/readyz`)).ok).toBe(true))
    const over = new AbortController()
    const players = Array.from({ length: PLAYERS }, (_, player) => keepPlaying(system, player, over.signal))
    const actions = await breakThings(system, over)
    const tallies = mergeTallies(await Promise.all(players))
    await expectSettled(system)

    const total = sum(tallies.users)
    console.log(
      `chaos: seed ${seed}, ${actions} kills and stops in ${seconds} s, nats-server ${natsVersion}: ` +
        `${total.answered} plays answered 200, ${total.cutOff} cut off, ${total.refused} refused`,
    )
    expect(total.answered).toBeGreaterThan(100)
    await expectCounted(system, 'user', tallies.users)
    await expectCounted(system, 'asset', tallies.assets)
  })
})

/** Kills and stops one or two parts at a time, for 0 to 3 s, in an order that the seed draws. Leaves all of them up. */
async function breakThings(system: System, over: AbortController): Promise<number> {
  const random = createRandom(seed)
  const pick = <Value>(values: Value[]) => values[Math.floor(random() * values.length)] as Value
  const parts = [system.nats, system.reporting, system.listener, system.metadata, system.cdnurl, system.play]
  const end = performance.now() + seconds * 1_000
  let actions = 0
  while (performance.now() < end) {
    const victims = new Set(random() < 0.5 ? [pick(parts)] : [pick(parts), pick(parts)])
    for (const victim of victims) {
      await victim.signal(pick(['SIGKILL', 'SIGSTOP']))
      actions += 1
    }
    await sleep(random() * 3_000)
    for (const victim of victims) await victim.start()
    await sleep(random() * 1_000)
  }
  over.abort()
  return actions
}

async function keepPlaying({ play }: System, player: number, over: AbortSignal) {
  const random = createRandom(seed + player + 1)
  const users = new Map<string, Tally>()
  const assets = new Map<string, Tally>()
  await using agent = closing(new Agent({ connections: 1 }))
  while (!over.aborted) {
    const asset = random() < 0.5 ? '123' : '456'
    const user = random() < 0.5 ? `player-${player}` : 'everybody'
    const outcome = await playOnce(`${play.url}/play/asset/${asset}/user/${user}`, agent)
    for (const [tallies, id] of [
      [users, user],
      [assets, asset],
    ] as const)
      tallyOf(tallies, id)[outcome] += 1
    // A person does not press play a thousand times a second; and a refused play is not tried again at once.
    await sleep(outcome === 'answered' ? random() * 10 : 50)
  }
  return { users, assets }
}

async function playOnce(url: string, dispatcher: Agent): Promise<keyof Tally> {
  let status: number
  try {
    const response = await request(url, { method: 'POST', dispatcher })
    status = response.statusCode
    await response.body.dump()
  } catch (error) {
    // Nobody listened: the play was not even asked for.
    return (error as NodeJS.ErrnoException).code === 'ECONNREFUSED' ? 'refused' : 'cutOff'
  }
  expect([200, 503]).toContain(status)
  return status === 200 ? 'answered' : 'refused'
}

/** Nothing is on its way any more: the outbox is empty, and the log is counted to its end. */
async function expectSettled(system: System): Promise<void> {
  await eventually(async () => {
    expect(await metric(system.play.url, /^outbox_waiting_views /)).toBe(0)
    const last = await system.nats.use(async (connection) => {
      const jsm = await connection.jetstreamManager()
      return jsm.streams.getMessage(STREAM, { last_by_subj: VIEWS })
    })
    expect(await getJson(`${system.reporting.url}/events/position`)).toMatchObject({ sequence: last.seq })
  }, SETTLE_MS)
}

async function expectCounted({ reporting }: System, by: 'asset' | 'user', tallies: Map<string, Tally>): Promise<void> {
  for (const [id, { answered, cutOff }] of tallies) {
    const counted = await views(reporting.url, by, id)
    const what = `views of ${by} ${id}: ${answered} plays answered 200, ${cutOff} cut off`
    expect(counted, what).toBeGreaterThanOrEqual(answered)
    expect(counted, what).toBeLessThanOrEqual(answered + cutOff)
  }
}

function tallyOf(tallies: Map<string, Tally>, id: string): Tally {
  const tally = tallies.get(id) ?? { answered: 0, cutOff: 0, refused: 0 }
  tallies.set(id, tally)
  return tally
}

function mergeTallies(all: { users: Map<string, Tally>; assets: Map<string, Tally> }[]) {
  return { users: merge(all.map(({ users }) => users)), assets: merge(all.map(({ assets }) => assets)) }
}

function merge(all: Map<string, Tally>[]): Map<string, Tally> {
  const merged = new Map<string, Tally>()
  for (const [id, tally] of all.flatMap((tallies) => [...tallies])) add(tallyOf(merged, id), tally)
  return merged
}

function sum(tallies: Map<string, Tally>): Tally {
  const total: Tally = { answered: 0, cutOff: 0, refused: 0 }
  for (const tally of tallies.values()) add(total, tally)
  return total
}

function add(to: Tally, tally: Tally): void {
  to.answered += tally.answered
  to.cutOff += tally.cutOff
  to.refused += tally.refused
}

function closing(agent: Agent): Agent & AsyncDisposable {
  return Object.assign(agent, { [Symbol.asyncDispose]: () => agent.destroy() })
}
