import { describe, expect, test } from 'vitest'
import { UsageError } from '../runtime/command-line.ts'
import { loadSettings } from '../runtime/settings.ts'
import { allowedHosts, createHostCheck } from './hosts.ts'

const LOOPBACK = ['localhost', 'localhost:8080', 'LocalHost', '127.0.0.1:1', '127.9.9.9', '[::1]', '[::1]:8080']
const FOREIGN = [
  'evil.example',
  'evil.example:8080',
  'localhost.evil.example',
  '127.0.0.1.evil.example',
  '10.0.0.1',
  '',
]

describe('a service on loopback', () => {
  const isAllowed = createHostCheck({ HOST: '127.0.0.1' })

  test.each(LOOPBACK)('accepts the host %s', (host) => expect(isAllowed?.(host)).toBe(true))
  test.each(FOREIGN)('rejects the host "%s"', (host) => expect(isAllowed?.(host)).toBe(false))

  test('accepts further names from ALLOWED_HOSTS', () => {
    const isAllowed = createHostCheck({ HOST: '127.0.0.1', ALLOWED_HOSTS: read('Play.example.com, [fd00::1]') })
    for (const host of ['play.example.com', 'PLAY.example.com:443', '[fd00::1]:80', ...LOOPBACK]) {
      expect(isAllowed?.(host)).toBe(true)
    }
    for (const host of [...FOREIGN, 'example.com', 'xplay.example.com']) expect(isAllowed?.(host)).toBe(false)
  })
})

describe('a service that listens beyond loopback', () => {
  test('accepts every name without ALLOWED_HOSTS', () => {
    expect(createHostCheck({ HOST: '0.0.0.0' })).toBeUndefined()
  })

  test('accepts only the names in ALLOWED_HOSTS, its own addresses and loopback names, if ALLOWED_HOSTS is set', () => {
    const settings = { HOST: '10.0.0.7', ADVERTISE_HOST: 'node7.internal', ALLOWED_HOSTS: read('play.example.com') }
    const isAllowed = createHostCheck(settings)
    for (const host of ['10.0.0.7:8080', 'node7.internal', 'play.example.com', ...LOOPBACK]) {
      expect(isAllowed?.(host)).toBe(true)
    }
    for (const host of FOREIGN) expect(isAllowed?.(host)).toBe(false)
  })
})

test.each(['play.example.com:443', 'https://play.example.com', '*.example.com', 'a b', 'a,', '::1'])(
  'ALLOWED_HOSTS "%s" is a usage error',
  (text) => expect(() => read(text)).toThrow(UsageError),
)

function read(text: string): string[] | undefined {
  return loadSettings({ ALLOWED_HOSTS: allowedHosts }, { args: [], env: { ALLOWED_HOSTS: text } }).ALLOWED_HOSTS
}
