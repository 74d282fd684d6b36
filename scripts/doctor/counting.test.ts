import { expect, test } from 'vitest'
import { diagnoseCounting, type Lag } from './counting.ts'

const lag = (backlog: number, seconds: number, position: string): Lag => ({ backlog, seconds, position })

test.each([
  ['an empty backlog is ok', [lag(0, 0, 'a')], ['ok']],
  ['a backlog that is counted a second later is ok', [lag(9, 60, 'a'), lag(0, 0, 'b')], ['ok']],
  ['a message that is too new to be stuck is ok', [lag(1, 0, 'a'), lag(1, 1, 'a')], ['ok']],
  [
    'a backlog without progress for longer than the retry delay is a failure',
    [lag(1, 4, 'a'), lag(1, 5, 'a')],
    ['FAIL'],
  ],
  ['a large but recent backlog is ok', [lag(5_000, 8, 'a'), lag(6_000, 9, 'b')], ['ok']],
  ['a late backlog that shrinks is a warning', [lag(9_000, 60, 'a'), lag(5_000, 50, 'b')], ['warn']],
  ['a late backlog that grows is a failure', [lag(9_000, 60, 'a'), lag(9_500, 60, 'b')], ['FAIL']],
  ['an unknown backlog is not reported', [lag(Number.NaN, Number.NaN, 'a')], []],
  ['a backlog that becomes unknown is not reported', [lag(9, 60, 'a'), lag(Number.NaN, Number.NaN, 'b')], []],
] as const)('%s', (_, [first, second], severities) => {
  const findings = [...diagnoseCounting([first, second ?? first])]
  expect(findings.map(({ severity }) => severity)).toEqual(severities)
})

test.each([0, 9])('with a backlog of %i, uncounted messages that the log no longer has are a failure', (backlog) => {
  const first = { ...lag(backlog, 60, 'a'), missing: 7 }
  expect([...diagnoseCounting([first, first])]).toEqual([
    {
      severity: 'FAIL',
      name: 'counting',
      text: 'the log no longer has 7 messages that are not counted: restore a backup of the counts, or accept the loss with npm run counts -- accept-loss',
    },
  ])
})
