import { expect, test } from 'vitest'
import { UsageError } from '../../shared/runtime/command-line.ts'
import { loadSettings } from '../../shared/runtime/settings.ts'
import { identitySettings, providerOf } from './settings.ts'

const load = (env: Record<string, string>) => providerOf(loadSettings(identitySettings, { args: [], env }))
const complete = { AUTH_JWKS_URL: 'https://login.example/jwks?p=1', AUTH_ISSUER: 'issuer', AUTH_AUDIENCE: 'edge' }

test('identity is off by default', () => {
  expect(load({})).toBeUndefined()
  expect(load({ AUTH_JWKS_URL: '', AUTH_ISSUER: '', AUTH_AUDIENCE: '' })).toBeUndefined()
})

test('identity is on if all three settings are set', () => {
  expect(load(complete)).toEqual({ jwksUrl: 'https://login.example/jwks?p=1', issuer: 'issuer', audience: 'edge' })
})

test.each([[['AUTH_JWKS_URL']], [['AUTH_ISSUER']], [['AUTH_AUDIENCE']], [['AUTH_ISSUER', 'AUTH_AUDIENCE']]])(
  'identity settings without %j are an error',
  (names) => {
    const env = { ...complete, ...Object.fromEntries(names.map((name) => [name, ''])) }
    expect(() => load(env)).toThrow(UsageError)
    expect(() => load(env)).toThrow(`${names.join(' and ')} must be set too`)
  },
)

test.each(['http://localhost:8090/jwks', 'http://127.0.0.1/jwks', 'http://[::1]:1/', 'HTTPS://login.example'])(
  'AUTH_JWKS_URL may be %s',
  (AUTH_JWKS_URL) => {
    expect(load({ ...complete, AUTH_JWKS_URL })?.jwksUrl).toBe(AUTH_JWKS_URL)
  },
)

test.each([
  'http://login.example/jwks',
  'http://localhost.example/jwks',
  'https://user:secret@login.example/jwks',
  'ftp://localhost/jwks',
  'login.example/jwks',
  'https://',
])('AUTH_JWKS_URL may not be %s, and the error hides credentials', (AUTH_JWKS_URL) => {
  expect(() => load({ ...complete, AUTH_JWKS_URL })).toThrow(/^AUTH_JWKS_URL is (?!.*secret)/)
})
