import { expect, test } from 'vitest'
import { UsageError } from '../runtime/command-line.ts'
import { loadSettings } from '../runtime/settings.ts'
import { natsUrl } from './settings.ts'

const load = (NATS_URL?: string) => loadSettings({ NATS_URL: natsUrl }, { args: [], env: { NATS_URL } }).NATS_URL

test('servers are separated by commas, and may have a scheme and a port', () => {
  expect(load('nats://a:4222, tls://b,c:1').map(String)).toEqual(['nats://a:4222', 'tls://b', 'c:1'])
})

test('a server may have credentials, which are not printed, and may be an IPv6 address', () => {
  const servers = load('nats://user:password@[::1]:4222,token@a')
  expect(servers.map((server) => server.reveal())).toEqual(['nats://user:password@[::1]:4222', 'token@a'])
  expect(servers.map(String)).toEqual(['nats://[::1]:4222', 'a'])
})

test.each(['http://a', 'a b', 'a,', 'nats://a/path', 'a:port', '[::1', 'user@host@a'])('%j is rejected', (text) => {
  expect(() => load(text)).toThrow(UsageError)
  expect(() => load(text)).toThrow(/^NATS_URL is "[^\n]*": it must be [^\n]+$/)
})

test.each([
  ['nats://user:secret@a/path', 'nats://…@a/path'],
  ['nats://user:se cret@a', 'nats://…@a'],
  ['nats://user:secret', 'nats://user:…'],
  ['user:secret@', '…'],
  ['nats://user:secret@a,nats://other:secret@b/path', 'nats://…@b/path'],
  ['nats://user:%zz@a', 'nats://…@a'],
])('the error for %j contains no credentials', (text, printed) => {
  expect(() => load(text)).toThrow(`NATS_URL is "${printed}": it must be`)
})

test.each([undefined, ''])('the error for %j states that the setting is not set', (text) => {
  expect(() => load(text)).toThrow(UsageError)
  expect(() => load(text)).toThrow(/^NATS_URL is not set: it must be [^\n]+$/)
})
