import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { Agent, request } from 'undici'
import { expect } from 'vitest'
import { codeOf } from '../../shared/runtime/error-code.ts'
import { eventually } from './eventually.ts'
import type { Authorize } from './guarded-edge.ts'
import { views } from './plays.ts'
import { createRandom } from './random.ts'
import { runningTime } from './running-time.ts'

/** Number of plays by outcome. A play that was cut off by a crash may or may not be counted. */
export type Outcomes = { served: number; cutOff: number; rejected: number }
type OutcomesById = Map<string, Outcomes>

type Players = {
  count: number
  seed: number
  /** A prefix for the users' ids. */
  prefix?: string
  authorize?: Authorize
}

/**
 * Starts players. stop() stops them, and returns the outcomes of their plays. Every other player uses idempotency keys,
 * and retries. `slowestMs` does not include machine pauses.
 */
export function startPlayers(edge: string, { count, seed, prefix = '', authorize = async () => ({}) }: Players) {
  const stopping = new AbortController()
  const playing = Array.from({ length: count }, (_, player) =>
    keepPlaying(edge, { player, seed, prefix, authorize }, stopping.signal),
  )
  return {
    async stop() {
      stopping.abort()
      const all = await Promise.all(playing)
      return {
        users: merge(all.map(({ users }) => users)),
        assets: merge(all.map(({ assets }) => assets)),
        slowestMs: Math.max(...all.map(({ slowestMs }) => slowestMs)),
      }
    },
  }
}

type Player = { player: number; seed: number; prefix: string; authorize: Authorize }

async function keepPlaying(edge: string, { player, seed, prefix, authorize }: Player, signal: AbortSignal) {
  const random = createRandom(seed + player + 1)
  const users = new Map<string, Outcomes>()
  const assets = new Map<string, Outcomes>()
  let slowestMs = 0
  await using agent = withDispose(new Agent({ connections: 1 }))
  while (!signal.aborted) {
    const asset = random() < 0.5 ? '123' : '456'
    const user = `${prefix}${random() < 0.5 ? `player-${player}` : 'everybody'}`
    const startedAt = runningTime()
    const request = { url: `${edge}/play/asset/${asset}/user/${user}`, agent, headers: await authorize(user) }
    const outcome = player % 2 === 0 ? await playOnce(request) : await playWithKey(request, random)
    slowestMs = Math.max(slowestMs, runningTime() - startedAt)
    outcomesOf(users, user)[outcome] += 1
    outcomesOf(assets, asset)[outcome] += 1
    // Viewers do not retry immediately.
    await sleep(outcome === 'served' ? random() * 10 : 50)
  }
  return { users, assets, slowestMs }
}

type PlayRequest = { url: string; agent: Agent; headers: Record<string, string> }

const MAX_ATTEMPTS = 5

/**
 * Sends a play with an idempotency key until it is served, and sometimes once more. All attempts count as one play.
 */
async function playWithKey(request: PlayRequest, random: () => number): Promise<keyof Outcomes> {
  const keyed = { ...request, headers: { ...request.headers, 'idempotency-key': `"${randomUUID()}"` } }
  let outcome: keyof Outcomes = 'rejected'
  for (let attempt = 1; attempt <= MAX_ATTEMPTS && outcome !== 'served'; attempt += 1) {
    const last = await playOnce(keyed)
    // An attempt that was cut off may have recorded the play, even if a later one is rejected.
    if (outcome === 'rejected' || last === 'served') outcome = last
    if (last !== 'served') await sleep(50)
  }
  if (outcome === 'served' && random() < 0.1) await playOnce(keyed)
  return outcome
}

async function playOnce({ url, agent, headers }: PlayRequest): Promise<keyof Outcomes> {
  let status: number
  try {
    const response = await request(url, { method: 'POST', dispatcher: agent, headers })
    status = response.statusCode
    await response.body.dump()
  } catch (error) {
    // If the connection was refused, the request was never sent.
    return codeOf(error) === 'ECONNREFUSED' ? 'rejected' : 'cutOff'
  }
  expect([200, 503]).toContain(status)
  return status === 200 ? 'served' : 'rejected'
}

type Expected = { lost?: number; token?: string | undefined }

/** Verifies that plays with a 200 are counted exactly once, except for at most `lost` plays. `token` is READ_TOKEN. */
export async function expectCounted(
  reporting: string,
  by: 'asset' | 'user',
  outcomes: OutcomesById,
  { lost = 0, token }: Expected = {},
): Promise<void> {
  for (const [id, { served, cutOff }] of outcomes) {
    const counted = await eventually(() => views(reporting, by, id, token))
    const what = `views of ${by} ${id}: ${served} plays with a 200, ${cutOff} cut off`
    expect(counted, what).toBeGreaterThanOrEqual(served - lost)
    expect(counted, what).toBeLessThanOrEqual(served + cutOff)
  }
}

function outcomesOf(byId: OutcomesById, id: string): Outcomes {
  const outcomes = byId.get(id) ?? { served: 0, cutOff: 0, rejected: 0 }
  byId.set(id, outcomes)
  return outcomes
}

function merge(all: OutcomesById[]): OutcomesById {
  const merged: OutcomesById = new Map()
  for (const [id, outcomes] of all.flatMap((byId) => [...byId])) add(outcomesOf(merged, id), outcomes)
  return merged
}

/** Adds up the outcomes of all plays. */
export function sum(byId: OutcomesById): Outcomes {
  const total: Outcomes = { served: 0, cutOff: 0, rejected: 0 }
  for (const outcomes of byId.values()) add(total, outcomes)
  return total
}

function add(to: Outcomes, outcomes: Outcomes): void {
  to.served += outcomes.served
  to.cutOff += outcomes.cutOff
  to.rejected += outcomes.rejected
}

function withDispose(agent: Agent): Agent & AsyncDisposable {
  return Object.assign(agent, { [Symbol.asyncDispose]: () => agent.destroy() })
}
