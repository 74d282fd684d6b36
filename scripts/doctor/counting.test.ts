import { expect, test } from 'vitest'
import { judgeCounting, type Waiting } from './counting.ts'

const waiting = (messages: number, seconds: number, position: string): Waiting => ({ messages, seconds, position })

test.each([
  ['nothing waits', waiting(0, 0, 'a'), undefined, 'ok'],
  ['what waited is counted a second later', waiting(9, 60, 'a'), waiting(0, 0, 'b'), 'ok'],
  ['what waits came just now, and rests', waiting(1, 0, 'a'), waiting(1, 1, 'a'), 'ok'],
  ['what waits rests for longer than a retry takes', waiting(1, 4, 'a'), waiting(1, 5, 'a'), 'FAIL'],
  ['much waits, but not for long', waiting(5_000, 8, 'a'), waiting(6_000, 9, 'b'), 'ok'],
  ['what has waited for long becomes fewer', waiting(9_000, 60, 'a'), waiting(5_000, 50, 'b'), 'warn'],
  ['what has waited for long becomes more', waiting(9_000, 60, 'a'), waiting(9_500, 60, 'b'), 'FAIL'],
] as const)('%s', (_, first, second, mark) => {
  expect(judgeCounting({ first, second }).map((line) => line.mark)).toEqual([mark])
})

test('who does not say is no finding of its own', () => {
  expect(judgeCounting({ first: undefined, second: undefined })).toEqual([])
})
