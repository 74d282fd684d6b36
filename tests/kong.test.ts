import { createPublicKey } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { parse } from 'yaml'
import { LIVENESS, READINESS } from '../shared/contracts/probes.ts'
import { kongConfig } from './harness/kong.ts'

const text = readFileSync('deploy/kong/kong.yaml', 'utf8')
const { upstreams, services, plugins, consumers } = kongConfig.parse(parse(text))
const routes = services.flatMap(({ routes }) => routes)

test.each([
  ['claims_to_verify', 'claim_to_verify'],
  ['strip_path', 'strip_paths'],
  ['limit_by: ip', 'limit_by: address'],
  ["'3.0'", "'3.1'"],
  ['tcp_failures', 'tcp_failure'],
  ['jwt_secrets', 'jwt_secret'],
  ['name: rate-limiting', 'name: ratelimiting'],
])('kong.yaml is invalid after the change %s → %s', (from, to) => {
  expect(text).toContain(from)
  expect(kongConfig.safeParse(parse(text.replace(from, to))).success).toBe(false)
})

test('only public paths have a route', () => {
  const isRouted = (method: string, path: string) =>
    routes.some(
      ({ methods, paths }) => (methods as string[]).includes(method) && paths.some((each) => matches(each, path)),
    )
  expect(isRouted('POST', '/play/asset/456/user/8')).toBe(true)
  expect(isRouted('POST', '/play/watched/8e03978e')).toBe(true)
  for (const path of ['/catalogue', '/live', '/views/8e03978e']) expect(isRouted('GET', path), path).toBe(true)
  const operations = ['/', '/status', '/metrics', '/docs', '/openapi.json', '/console/console.js', '/series', '/livex']
  for (const path of [...operations, LIVENESS, READINESS]) expect(isRouted('GET', path), path).toBe(false)
})

test('paths reach play unchanged', () => {
  expect(routes).not.toHaveLength(0)
  for (const { strip_path } of routes) expect(strip_path).toBe(false)
})

test('every service names an upstream', () => {
  const names = upstreams.map(({ name }) => name)
  expect(services).not.toHaveLength(0)
  for (const { host } of services) expect(names).toContain(host)
})

test('a play needs a token that has not expired, and is never sent twice', () => {
  const [plays] = services
  expect(plays).toMatchObject({ retries: 0, plugins: [{ name: 'jwt', config: { claims_to_verify: ['exp'] } }] })
  expect(plays?.routes[0]?.methods).toContain('POST')
  expect(services.slice(1)).not.toHaveLength(0)
  for (const { routes } of services.slice(1)) expect(routes[0]?.methods).not.toContain('POST')
})

test('rates are limited on every route', () => {
  expect(plugins).toMatchObject([{ name: 'rate-limiting' }])
})

test("the issuer's key is a public key", () => {
  const secrets = consumers.flatMap(({ jwt_secrets }) => jwt_secrets)
  expect(secrets).not.toHaveLength(0)
  for (const { rsa_public_key: key } of secrets) {
    expect(createPublicKey(key).asymmetricKeyType).toBe('rsa')
  }
})

function matches(pattern: string, path: string): boolean {
  return pattern.startsWith('~') ? new RegExp(`^${pattern.slice(1)}`).test(path) : path.startsWith(pattern)
}
