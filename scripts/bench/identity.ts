import { Hono } from 'hono'
import { createAuthenticate, requireOwnId } from '../../play/identity/authenticate.ts'
import { type KeySet, parseKeySet } from '../../play/identity/key-set.ts'
import { createTokenVerifier } from '../../play/identity/verify-token.ts'
import type { PlayEnv } from '../../play/play-env.ts'
import { eventually } from '../../tests/harness/eventually.ts'
import { AUDIENCE, type IdentityProvider, startIdentityProvider } from '../../tests/harness/identity-provider.ts'
import { type ServiceProcess, startService } from '../../tests/harness/service-process.ts'
import { startSystem } from '../../tests/harness/system.ts'
import { measure, warmUp } from './measure.ts'
import { seed } from './seed.ts'
import { toTable } from './table.ts'
import type { Target } from './target.ts'
import { writeTokens } from './tokens.ts'

/**
 * `node scripts/bench/identity.ts [seconds] [rounds]` measures the CPU time that verifying a token takes, for each
 * algorithm and for a cached token. Then it prints a table of plays without identity, with cached tokens, and with
 * forged tokens, which play rejects.
 */
const [seconds = '5', rounds = '3'] = process.argv.slice(2)
const USERS = 1_000
const VERIFICATIONS = 3_000
const REQUESTS = 50_000
const WITHOUT = 'without identity'

await using provider = await startIdentityProvider(['ES256', 'RS256', 'EdDSA'])
for (const { alg } of provider.keys()) console.log(`${alg}: ${await measureVerification(provider, alg)} ms of CPU`)
console.log(`cached: ${await measureCached(provider)} µs`)

await using valid = await writeTokens(provider)
await using forged = await writeTokens(provider, (token) => `${token.slice(0, -8)}AAAAAAAA`)
await using system = await startSystem()
await using identified = await startService('play', { ...system.env, ...provider.settings })
await seed(system)
await eventually(async () => {
  if (!(await fetch(`${identified.url}/readyz`)).ok) throw new Error('play is not ready')
})

const targetOf = (name: string, play: ServiceProcess, tokens?: string): Target => ({
  name,
  url: play.url,
  pids: () => ({ play: [play.pid()] }),
  tokens,
})
const targets = [
  targetOf(WITHOUT, system.play),
  targetOf('with identity', identified, valid.path),
  targetOf('forged tokens', identified, forged.path),
]
const load = { connections: [128], seconds: Number(seconds), rounds: Number(rounds) }
await warmUp(targets, load)
console.log(toTable(await measure(targets, load), { row: WITHOUT, heading: 'vs without' }))

/** The CPU time that `authenticate` and `requireOwnId` add to a request, compared with a no-op middleware. */
async function measureCached(provider: IdentityProvider): Promise<string> {
  const onRejected = () => {}
  const authenticate = createAuthenticate({ verify: createVerifier(await keySetOf(provider), provider), onRejected })
  const bare = new Hono<PlayEnv>().post(
    '/play/:userId',
    (_, next) => next(),
    (c) => c.body(null),
  )
  const full = new Hono<PlayEnv>().post('/play/:userId', authenticate, requireOwnId({ onRejected }), (c) =>
    c.body(null),
  )
  const tokens = await Promise.all(Array.from({ length: USERS }, (_, n) => provider.sign({ sub: `u${n}` })))
  const lines = tokens.map((token) => Buffer.from(`Bearer ${token}`))
  const others = Array.from({ length: 8 }, (_, n) => [`x-header-${n}`, 'value']).flat()
  async function timeOf(app: Hono<PlayEnv>): Promise<number> {
    const before = process.cpuUsage()
    for (let n = 0; n < REQUESTS; n += 1) {
      // Create a new string for each request, as a socket does, so that V8 has not hashed it yet.
      const authorization = lines[n % USERS]?.toString('latin1') ?? ''
      const incoming = { headers: { authorization }, rawHeaders: [...others, 'authorization', authorization] }
      await app.request(`/play/u${n % USERS}`, { method: 'POST' }, { incoming })
    }
    const { user, system } = process.cpuUsage(before)
    return (user + system) / REQUESTS
  }
  const differences: number[] = []
  for (let round = 0; round < 7; round += 1) differences.push(-(await timeOf(bare)) + (await timeOf(full)))
  return (differences.slice(1).toSorted((a, b) => a - b)[3] ?? Number.NaN).toFixed(2)
}

async function keySetOf(provider: IdentityProvider): Promise<KeySet> {
  return parseKeySet(JSON.stringify({ keys: provider.keys().map(({ publicJwk }) => publicJwk) }))
}

function createVerifier(keys: KeySet, { issuer }: IdentityProvider) {
  return createTokenVerifier({ issuer, audience: AUDIENCE, jwks: { keys: () => keys, refresh: async () => {} } })
}

async function measureVerification(provider: IdentityProvider, alg: string): Promise<string> {
  const verify = createVerifier(await keySetOf(provider), provider)
  const key = provider.keys().find((each) => each.alg === alg)
  const tokens: string[] = []
  for (let n = 0; n < VERIFICATIONS; n += 1) tokens.push(await provider.sign({ jti: String(n) }, {}, key))
  for (const token of tokens.slice(0, VERIFICATIONS / 3)) await verify(token)
  const before = process.cpuUsage()
  for (const token of tokens) await verify(token)
  const { user, system } = process.cpuUsage(before)
  return ((user + system) / 1_000 / VERIFICATIONS).toFixed(3)
}
