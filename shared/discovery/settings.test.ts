import { expect, test } from 'vitest'
import { UsageError } from '../runtime/command-line.ts'
import { loadSettings } from '../runtime/settings.ts'
import { discoverySettings } from './settings.ts'

const load = (env: Record<string, string>) => loadSettings(discoverySettings, { args: [], env })

test.each([
  ['127.0.0.1:8500', { host: '127.0.0.1', port: 8500, secure: false }],
  ['http://consul:8500', { host: 'consul', port: 8500, secure: false }],
  ['http://consul', { host: 'consul', port: 80, secure: false }],
  ['https://consul:8501', { host: 'consul', port: 8501, secure: true }],
  ['https://consul', { host: 'consul', port: 443, secure: true }],
  ['http://[::1]:8500/', { host: '[::1]', port: 8500, secure: false }],
  ['unix:///run/consul.sock', { host: 'localhost', port: 80, secure: false, socketPath: '/run/consul.sock' }],
])('CONSUL_HTTP_ADDR accepts %s', (text, address) => {
  expect(load({ CONSUL_HTTP_ADDR: text }).CONSUL_HTTP_ADDR).toEqual(address)
})

test.each([
  'ftp://consul',
  'http://',
  'http://consul/v1',
  'http://consul?dc=1',
  'http://consul:99999',
  'a b',
  'http://user:pass@consul',
])('CONSUL_HTTP_ADDR rejects %s', (text) => {
  expect(() => load({ CONSUL_HTTP_ADDR: text })).toThrow(UsageError)
  expect(() => load({ CONSUL_HTTP_ADDR: text })).toThrow(/must be the address of a Consul agent, such as 127/)
})

test.each([
  ['1', true],
  ['TRUE', true],
  ['t', true],
  ['0', false],
  ['False', false],
])('CONSUL_HTTP_SSL accepts %s', (text, secure) => {
  expect(load({ CONSUL_HTTP_SSL: text }).CONSUL_HTTP_SSL).toBe(secure)
})

test('CONSUL_HTTP_SSL rejects "yes"', () => {
  expect(() => load({ CONSUL_HTTP_SSL: 'yes' })).toThrow('CONSUL_HTTP_SSL is "yes": it must be true or false')
})

test.each(['localhost', '10.0.0.7', '::1', 'host-1.example'])('ADVERTISE_HOST accepts %s', (text) => {
  expect(load({ ADVERTISE_HOST: text }).ADVERTISE_HOST).toBe(text)
})

test.each(['http://a', 'a b', 'a/b'])('ADVERTISE_HOST rejects %s', (text) => {
  expect(() => load({ ADVERTISE_HOST: text })).toThrow('it must be a host name or an address')
})

test('every setting is optional', () => {
  expect(load({})).toEqual({})
})
