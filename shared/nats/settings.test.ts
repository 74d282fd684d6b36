import { expect, test } from 'vitest'
import { UsageError } from '../runtime/command-line.ts'
import { loadSettings } from '../runtime/settings.ts'
import { natsUrl } from './settings.ts'

const load = (NATS_URL?: string) => loadSettings({ NATS_URL: natsUrl }, { args: [], env: { NATS_URL } }).NATS_URL

test('servers are separated by commas, with or without a scheme and a port', () => {
  expect(load('nats://a:4222, tls://b,c:1')).toEqual(['nats://a:4222', 'tls://b', 'c:1'])
})

test('a server may have credentials and be an IPv6 address', () => {
  expect(load('nats://user:password@[::1]:4222,token@a')).toEqual(['nats://user:password@[::1]:4222', 'token@a'])
})

test.each(['http://a', 'a b', 'a,', 'nats://a/path', 'a:port', '[::1', 'user@host@a'])('%j is rejected', (text) => {
  expect(() => load(text)).toThrow(UsageError)
  expect(() => load(text)).toThrow(/^NATS_URL is "[^\n]*": it must be [^\n]+$/)
})

test('the error contains no credentials', () => {
  expect(() => load('nats://user:secret@a/path')).toThrow('NATS_URL is "nats://…@a/path"')
})

test.each([undefined, ''])('the error for %j states that the setting is not set', (text) => {
  expect(() => load(text)).toThrow(UsageError)
  expect(() => load(text)).toThrow(/^NATS_URL is not set: it must be [^\n]+$/)
})
