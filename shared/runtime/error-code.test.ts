import { connect } from 'node:net'
import { expect, test } from 'vitest'
import { codeOf } from './error-code.ts'

test("a Node error's code is a string", async () => {
  const error = await new Promise((resolve) => connect(1, '127.0.0.1').on('error', resolve))
  expect(codeOf(error)).toBe('ECONNREFUSED')
})

test.each([
  ['an error without a code', new Error('x')],
  ['a DOMException, whose code is a number', new DOMException('x', 'TimeoutError')],
  ['an object that is not an Error', { code: 'x' }],
  ['undefined', undefined],
])('%s has no code', (_, error) => {
  expect(codeOf(error)).toBeUndefined()
})
