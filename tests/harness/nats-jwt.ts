import { nkeys } from 'nats'

type KeyPair = ReturnType<typeof nkeys.createUser>

const toUnlimited = (names: string[]) => Object.fromEntries(names.map((name) => [name, -1]))
const LIMITS = { ...toUnlimited(['subs', 'data', 'payload', 'imports', 'exports', 'conn', 'leaf']), wildcards: true }
const JETSTREAM = toUnlimited(['mem_storage', 'disk_storage', 'streams', 'consumer'])

/** Creates an operator with one account. Returns a server configuration and a function that creates credentials. */
export function createOperator() {
  const [operator, account, system] = [nkeys.createOperator(), nkeys.createAccount(), nkeys.createAccount()]
  const toEntry = (of: KeyPair, limits: object) =>
    `${of.getPublicKey()}: ${sign(of, operator, { type: 'account', version: 2, limits })}`
  // The system account must not have JetStream.
  const entries = [toEntry(account, { ...LIMITS, ...JETSTREAM }), toEntry(system, LIMITS)]
  return {
    config: [
      `operator: ${sign(operator, operator, { type: 'operator', version: 2 })}`,
      'resolver: MEMORY',
      `system_account: ${system.getPublicKey()}`,
      `resolver_preload: { ${entries.join(', ')} }`,
    ],
    /** @param expires seconds since 1970 */
    createCreds(expires?: number): string {
      const user = nkeys.createUser()
      const jwt = sign(user, account, { type: 'user', version: 2, subs: -1, data: -1, payload: -1 }, expires)
      const seed = new TextDecoder().decode(user.getSeed())
      return `${section('NATS USER JWT', jwt)}\n${section('USER NKEY SEED', seed)}`
    },
  }
}

/** Signs a NATS JWT (https://docs.nats.io/running-a-nats-service/configuration/securing_nats/auth_intro/jwt). */
function sign(subject: KeyPair, issuer: KeyPair, nats: object, exp?: number): string {
  const claims = {
    jti: 'test',
    iat: Math.floor(Date.now() / 1_000),
    ...(exp && { exp }),
    iss: issuer.getPublicKey(),
    sub: subject.getPublicKey(),
    name: 'test',
    nats,
  }
  const body = [{ typ: 'JWT', alg: 'ed25519-nkey' }, claims].map((part) => toBase64Url(JSON.stringify(part))).join('.')
  return `${body}.${toBase64Url(issuer.sign(new TextEncoder().encode(body)))}`
}

function toBase64Url(data: string | Uint8Array): string {
  return Buffer.from(data).toString('base64url')
}

function section(title: string, content: string): string {
  return `-----BEGIN ${title}-----\n${content}\n------END ${title}------\n`
}
