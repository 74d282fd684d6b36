import { expect, test } from 'vitest'
import { loadSettings, SettingsError } from '../runtime/settings.ts'
import { discoverySettings } from './settings.ts'

const load = (env: Record<string, string>) => loadSettings(discoverySettings, { argv: [], env })

test.each([
  ['127.0.0.1:8500', { host: '127.0.0.1', port: 8500, secure: false }],
  ['http://consul:8500', { host: 'consul', port: 8500, secure: false }],
  ['https://consul:8501', { host: 'consul', port: 8501, secure: true }],
  ['https://consul', { host: 'consul', port: 443, secure: true }],
  ['http://[::1]:8500/', { host: '[::1]', port: 8500, secure: false }],
  ['unix:///run/consul.sock', { host: 'localhost', port: 80, secure: false, socketPath: '/run/consul.sock' }],
])('CONSUL_HTTP_ADDR may be %s', (text, address) => {
  expect(load({ CONSUL_HTTP_ADDR: text }).CONSUL_HTTP_ADDR).toEqual(address)
})

test.each(['ftp://consul', 'http://', 'http://consul/v1', 'http://consul:99999', 'a b', 'http://user:pass@consul'])(
  'CONSUL_HTTP_ADDR may not be %s',
  (text) => {
    expect(() => load({ CONSUL_HTTP_ADDR: text })).toThrow(SettingsError)
    expect(() => load({ CONSUL_HTTP_ADDR: text })).toThrow(/must be the address of a Consul agent, such as 127/)
  },
)

test.each([
  ['1', true],
  ['TRUE', true],
  ['t', true],
  ['0', false],
  ['False', false],
])('CONSUL_HTTP_SSL may be %s', (text, secure) => {
  expect(load({ CONSUL_HTTP_SSL: text }).CONSUL_HTTP_SSL).toBe(secure)
})

test('CONSUL_HTTP_SSL may not be yes', () => {
  expect(() => load({ CONSUL_HTTP_SSL: 'yes' })).toThrow('CONSUL_HTTP_SSL is "yes": it must be true or false')
})

test('without any of them there is no discovery', () => {
  expect(load({})).toEqual({})
})
