import { expect, test } from 'vitest'
import { after, before, insertSorted, PlaceError, replace } from './edit.ts'

test('text is added before or after a match, or replaces it', () => {
  expect(before('a\nb\n', /^b/m, 'x\n')).toBe('a\nx\nb\n')
  expect(after('a\nb\n', /^a\n/m, 'x\n')).toBe('a\nx\nb\n')
  expect(replace('a\nb\n', /b/, (match) => match.repeat(2))).toBe('a\nbb\n')
})

test.each(['', 'b\nb\n'])('a pattern that does not match exactly once is an error: %j', (text) => {
  expect(() => before(text, /^b$/m, 'x')).toThrow(PlaceError)
})

test.each([
  ['b', 'a\nc', 'a\nb\nc'],
  ['d', 'a\nc', 'a\nc\nd'],
  ['a', 'b', 'a\nb'],
])('the line %s is inserted in sorted order', (line, block, expected) => {
  expect(insertSorted(block, line, (key) => key)).toBe(expected)
})
