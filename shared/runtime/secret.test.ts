import { inspect } from 'node:util'
import { pino } from 'pino'
import { expect, test } from 'vitest'
import { toSecret } from './secret.ts'

test('only reveal() returns the value', () => {
  const secret = toSecret('s3cr3t')
  expect(secret.reveal()).toBe('s3cr3t')
  const lines: string[] = []
  const log = pino({}, { write: (line) => lines.push(line) })
  log.info({ secret, nested: { list: [secret] } }, `with ${secret}`)
  const error = new Error(`cannot use ${secret}`, { cause: secret })
  log.error({ err: error }, 'failed')
  const printed = [
    String(secret),
    `${secret}`,
    JSON.stringify({ secret, list: [secret] }),
    inspect(secret),
    inspect({ deep: { secret } }, { showHidden: true, depth: Number.POSITIVE_INFINITY }),
    inspect(error),
    Object.values(secret).map(String).join(),
    ...lines,
  ]
  for (const text of printed) expect(text).not.toContain('s3cr3t')
  expect(printed.slice(0, 4)).toEqual([
    '[redacted]',
    '[redacted]',
    '{"secret":"[redacted]","list":["[redacted]"]}',
    '[redacted]',
  ])
})

test('a secret can have a label that is safe to print', () => {
  expect(inspect([toSecret('nats://alice:s3cr3t@host', 'nats://host')])).toBe('[ nats://host ]')
})
