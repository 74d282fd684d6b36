import { expect, test } from 'vitest'
import { toReason } from './reason.ts'

test('a reason contains the messages of an error and its causes', () => {
  const cause = new Error('second', { cause: new Error('third', { cause: 'fourth' }) })
  expect(toReason(new Error('first', { cause }))).toBe('first: second: third: fourth')
  expect(toReason(new Error('first'))).toBe('first')
  expect(toReason('text')).toBe('text')
})
