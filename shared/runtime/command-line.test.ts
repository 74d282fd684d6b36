import { expect, test } from 'vitest'
import { parseCommandLine, toInformation, USAGE_STATUS, UsageError } from './command-line.ts'
import { version } from './version.ts'

const options = { port: { type: 'string' }, consul: { type: 'boolean' } } as const

test('flags are parsed according to the options', () => {
  expect(parseCommandLine(['--port', '1', '--consul'], options)).toEqual({ port: '1', consul: true })
  expect(parseCommandLine(['--port=1', '--no-consul'], options)).toEqual({ port: '1', consul: false })
  expect(parseCommandLine([], options)).toEqual({})
})

test('--help and --version print information, and --help takes precedence', () => {
  const informationOf = (...args: string[]) => toInformation(args, () => 'Usage: …')
  expect(informationOf('--port', '1', '--help')).toBe('Usage: …\n')
  expect(informationOf('-h', '--version')).toBe('Usage: …\n')
  expect(informationOf('--port', '1', '--version')).toBe(`${version}\n`)
  expect(informationOf('--port', '1')).toBeUndefined()
})

test('the exit status after a usage error is 2', () => {
  expect(USAGE_STATUS).toBe(2)
})

test.each([
  [['--verbose'], "Unknown option '--verbose'"],
  [['--verbose', '1'], "Unknown option '--verbose'"],
  [['extra'], "Unexpected argument 'extra'"],
  [['--port'], "'--port <value>'"],
  [['--consul=1'], "'--consul'"],
])('%j causes a one-line usage error that names the flag', (args, name) => {
  expect(() => parseCommandLine(args, options)).toThrow(UsageError)
  expect(() => parseCommandLine(args, options)).toThrow(name)
  expect(() => parseCommandLine(args, options)).toThrow(/^[^\n.]+; --help lists the options$/)
})
