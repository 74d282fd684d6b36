import { expect, test } from 'vitest'
import { Position, toLogPosition, toPosition } from './position.ts'

test("in JSON, a position's incarnation is named `stream`", () => {
  const position = { stream: '2026-11-20T21:00:00.123456789Z', sequence: 42 }
  const logPosition = { incarnation: '2026-11-20T21:00:00.123456789Z', sequence: 42 }
  expect(toPosition(logPosition)).toEqual(position)
  expect(toLogPosition(position)).toEqual(logPosition)
  expect(Position.parse(toPosition(logPosition))).toEqual(position)
})

test.each([
  { stream: '', sequence: 0 },
  { stream: 'x'.repeat(257), sequence: 0 },
  { stream: 'x', sequence: -1 },
  { stream: 'x', sequence: 0.5 },
  { stream: 'x' },
])('%j is not a valid position', (position) => {
  expect(Position.safeParse(position).success).toBe(false)
})

test('the position before the first message has sequence 0', () => {
  expect(Position.parse({ stream: 'x', sequence: 0 })).toEqual({ stream: 'x', sequence: 0 })
})
