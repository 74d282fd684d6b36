import { Position } from '../../shared/contracts/position.ts'
import { type Looks, lookTwice } from './again.ts'
import { ask, jsonOf, metricOf } from './ask.ts'
import { fail, type Line, ok, warn } from './line.ts'

/** What of the log is not counted yet, how long its first message has waited, and what tells whether it moves. */
export type Waiting = { messages: number; seconds: number; position: string }

/** A message that rests for this long is not on its way: whoever was interrupted has tried again by then. */
const STUCK_S = 3
const LATE_S = 10
const POSITION_LIMIT_MS = 1_000

const NAME = 'counting'

/** Up to where reporting has counted; undefined where it has counted nothing. Throws where it does not say. */
export async function askPosition(reporting: string[]): Promise<Position | undefined> {
  const answers = reporting.map(async (origin) => {
    const answer = await ask(origin, '/events/position', POSITION_LIMIT_MS)
    return Position.nullable().parse(jsonOf(answer)) ?? undefined
  })
  return Promise.any(answers)
}

/** What the metrics of queue-listener say, which in embedded mode nobody else can tell; undefined where they do not. */
export async function lookAtMetrics([listener = '']: string[]): Promise<Looks<Waiting | undefined>> {
  return lookTwice(async () => {
    const metrics = await ask(listener, '/metrics')
    const messages = metricOf(metrics, 'event_log_lag_messages')
    const seconds = metricOf(metrics, 'event_log_lag_seconds')
    if (messages === undefined || seconds === undefined) return undefined
    return { messages, seconds, position: String(metricOf(metrics, 'event_log_position')) }
  }, isWaiting)
}

export function isWaiting(waiting: Waiting | undefined): boolean {
  return waiting !== undefined && waiting.messages > 0
}

/** Whether the log is counted, and as fast as it grows. */
export function judgeCounting({ first, second }: Looks<Waiting | undefined>): Line[] {
  if (!first) return []
  if (first.messages === 0 || second?.messages === 0) return [ok(NAME, 'all that is in the log is counted')]
  if (!second) return []
  const waits = `${many(second.messages, 'message')} of the log wait to be counted, the first for ${Math.round(second.seconds)} s`
  const rests = first.position === second.position
  if (rests && second.seconds > STUCK_S) {
    return [
      fail(
        NAME,
        `${waits}, and none is: see the log of queue-listener, which may be without WRITE_TOKEN, or have the wrong one`,
      ),
    ]
  }
  if (second.seconds <= LATE_S) return [ok(NAME, waits)]
  if (second.messages >= first.messages)
    return [fail(NAME, `${waits}, and they become more: docs/performance.md says what reporting can do`)]
  return [warn(NAME, `${waits}, and they become fewer: wait`)]
}

export function many(count: number, noun: string): string {
  return `${count.toLocaleString('en')} ${noun}${count === 1 ? '' : 's'}`
}
