import { expect, test } from 'vitest'
import { z } from 'zod'
import { parseSafely } from './parse-safely.ts'

const schema = z.object({ title: z.string().min(1).max(9), tags: z.array(z.string()).min(1).optional() })
const incomparable = JSON.parse('{"length":{"toString":0,"valueOf":0}}')

test('a valid value is parsed', () => {
  expect(parseSafely(schema, { title: 'It' })).toEqual({ success: true, data: { title: 'It' } })
})

test('a `length` that cannot be compared is a validation error, not an exception', () => {
  for (const value of [{ title: incomparable }, { title: 'It', tags: incomparable }]) {
    expect(parseSafely(schema, value)).toMatchObject({ success: false, error: { issues: [{ path: [] }] } })
  }
})

test('other errors are thrown', () => {
  const broken = z.string().transform(() => {
    throw new RangeError('broken')
  })
  expect(() => parseSafely(broken, '')).toThrow(RangeError)
})
