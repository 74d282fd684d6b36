import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createRecordReader, createRecordWriter, endOfId } from './record-bytes.ts'

const id = fc.oneof(
  fc.uuid(),
  fc.uuid().map((text) => text.toUpperCase()),
  fc.string({ unit: 'binary', maxLength: 40 }),
  fc.string({ unit: fc.constantFrom('\0', 'a', 'ÿ', 'Ā', '\ud800', '\udfff', '-'), minLength: 36, maxLength: 36 }),
  fc.constantFrom('', 'x'.repeat(100_000), 'é'.repeat(256), '019aa3a4-11f0-7abc-8def-0123456789aB'),
)

test('any text can be an id, and is read back unchanged', () => {
  fc.assert(
    fc.property(fc.array(id), (ids) => {
      const writer = createRecordWriter(Buffer.alloc(1))
      const starts = ids.map((text) => {
        const start = writer.length()
        writer.id(text)
        return start
      })
      const reader = createRecordReader(writer.buffer())
      expect(ids.map(() => reader.id())).toEqual(ids)
      expect(starts.map((start) => endOfId(writer.buffer(), start))).toEqual(
        [...starts.slice(1), writer.length()].slice(0, ids.length),
      )
    }),
  )
})

test('a UUID takes 17 bytes, and an id from an earlier release takes 5 bytes more than its length', () => {
  const lengthOf = (text: string) => {
    const writer = createRecordWriter(Buffer.alloc(1))
    writer.id(text)
    return writer.length()
  }
  expect(lengthOf('019aa3a4-11f0-7abc-8def-0123456789ab')).toBe(17)
  expect(lengthOf('Q1WAZ5Y7C8N3S9B2K4X6E0')).toBe(27)
})
