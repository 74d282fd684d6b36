import { expect, test } from 'vitest'
import { toLine, toPrintable } from './printable.ts'

const ESCAPE = '\u001b[31m'
const OVERRIDE = '\u202e'

test('a line has no control, bidirectional or non-ASCII characters', () => {
  expect(toLine(`a\r\n\tb ${ESCAPE}${OVERRIDE}é🎬`, 500)).toBe('a b \\u001b[31m\\u202e\\u00e9\\ud83c\\udfac')
})

test('a line is no longer than its limit, even if its characters are escaped', () => {
  expect(toLine('€'.repeat(1_000), 1_000)).toHaveLength(1_000)
})

test('toPrintable keeps line breaks, tabs and letters, and escapes what a terminal would interpret', () => {
  const text = 'é🎬\n\t"b"'
  expect(toPrintable(text)).toBe(text)
  expect(toPrintable(`${ESCAPE}\u0085\u007f${OVERRIDE}\u2028\r\ud800`)).toBe(
    '\\u001b[31m\\u0085\\u007f\\u202e\\u2028\\u000d\\ud800',
  )
})

test('escaping does not change the value of JSON', () => {
  const value = { name: `x${OVERRIDE}\u200d\u{e0001}y` }
  expect(JSON.parse(toPrintable(JSON.stringify(value)))).toEqual(value)
})
