import fc from 'fast-check'
import ipaddr from 'ipaddr.js'
import { describe, expect, test } from 'vitest'
import { toClient, toIpAddress, trustedProxies } from './ip-address.ts'
import { loadSettings } from './settings.ts'

const networksOf = (text?: string) =>
  loadSettings({ TRUSTED_PROXIES: trustedProxies }, { args: [], env: { TRUSTED_PROXIES: text } }).TRUSTED_PROXIES

describe('TRUSTED_PROXIES', () => {
  test('is undefined unless it is set', () => expect([networksOf(), networksOf('')]).toEqual([undefined, undefined]))

  test.each([
    ['192.0.2.7', '192.0.2.7', '192.0.2.8'],
    ['10.1.2.3/8', '10.200.0.1', '11.0.0.1'],
    [' 192.0.2.7 , 10.0.0.0/8', '10.0.0.1', '192.0.2.8'],
    ['2001:db8::/33', '2001:db8:7fff::1', '2001:db8:8000::1'],
    ['2001:DB8:0::1', '2001:db8::1', '2001:db8::2'],
    ['::1', '::1', '127.0.0.1'],
    ['::ffff:10.0.0.0/104', '10.9.9.9', '11.0.0.1'],
    ['0.0.0.0/0', '203.0.113.1', '2001:db8::1'],
    ['::/0', '2001:db8::1', '%'],
  ])('%s includes %s, but not %s', (text, inside, outside) => {
    const networks = networksOf(text)
    expect([networks?.includes(inside), networks?.includes(outside)]).toEqual([true, false])
  })

  test.each([
    'proxy.example',
    '10.0.0.0/33',
    '10.0.0.0/',
    '10.0.0.0/-1',
    '10.0.0.0/255.0.0.0',
    '10.0.0.0/8/8',
    '10.0.0',
    '010.0.0.1',
    '0x0a.1',
    '2001:db8::/129',
    '2001:db8:::1',
    'fe80::1%eth0',
    '[::1]',
    '127.0.0.1:80',
    '10.0.0.0/8,',
    '*',
  ])('rejects %s', (text) => {
    expect(() => networksOf(text)).toThrow(/^TRUSTED_PROXIES is ".*": it must be IP addresses and networks/)
  })
})

test.each([
  ['203.0.113.7', '203.0.113.7'],
  ['::ffff:203.0.113.7', '203.0.113.7'],
  ['::FFFF:cb00:7107', '203.0.113.7'],
  ['0:0:0:0:0:ffff:203.0.113.7', '203.0.113.7'],
  ['2001:db8::1', '2001:db8::1'],
  ['::ffff:0:203.0.113.7', '::ffff:0:203.0.113.7'],
  ['fe80::1%eth0', 'fe80::1'],
])('the address %s is normalized to %s', (text, address) => expect(toIpAddress(text)).toBe(address))

test.each([
  '',
  'unknown',
  '_hidden',
  '1.2.3',
  '1.2.3.4.5',
  '01.2.3.4',
  '1.2.3.4 ',
  ':',
  '[::1]',
  'localhost',
  '١.2.3.4',
])('%j is not an IP address', (text) => expect(toIpAddress(text)).toBeUndefined())

const ipv6 = fc.ipV6().map((text) => toIpAddress(text) ?? '')

test('two IPv6 addresses belong to the same client if and only if their first 64 bits are equal', () => {
  const prefixOf = (text: string) => ipaddr.IPv6.parse(text).parts.slice(0, 4).join()
  const native = ipv6.filter((text) => text.includes(':'))
  fc.assert(
    fc.property(native, native, fc.integer({ min: 0, max: 0xffff }), (one, other, group) => {
      expect(toClient(one) === toClient(other)).toBe(prefixOf(one) === prefixOf(other))
      const [a, b, c, d] = ipaddr.IPv6.parse(one).parts.map((part) => part.toString(16))
      const sameSubnet = toIpAddress(`${a}:${b}:${c}:${d}:${group.toString(16)}::1`) ?? ''
      if (sameSubnet.includes(':')) expect(toClient(sameSubnet)).toBe(toClient(one))
    }),
  )
})

test.each([
  ['2001:DB8:0:00aB::1', '2001:db8:0:ab::/64'],
  ['::1', '0:0:0:0::/64'],
  ['::', '0:0:0:0::/64'],
  ['64:ff9b::203.0.113.7', '64:ff9b:0:0::/64'],
  ['1:2:3::6:7:8', '1:2:3:0::/64'],
  ['1::', '1:0:0:0::/64'],
])('%s belongs to the client %s', (address, client) => expect(toClient(address)).toBe(client))

test('each IPv4 address is a separate client', () => {
  expect(['203.0.113.7', '203.0.113.8'].map(toClient)).toEqual(['203.0.113.7', '203.0.113.8'])
})
