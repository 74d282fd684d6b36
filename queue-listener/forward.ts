import type { Position } from '../shared/contracts/position.ts'
import type { EventLog, LogBatch } from '../shared/event-log/event-log.ts'
import type { Logger } from '../shared/runtime/log.ts'
import { pause } from '../shared/runtime/pause.ts'
import type { Reporting } from './reporting.ts'

const RETRY_MS = 100
const MAX_RETRY_MS = 1_000
/** How often a listener that stands by looks whether the other one works. */
const STANDBY_MS = 1_000
/** How often a listener looks whether reporting still has what it counted. */
const CHECK_MS = 500
/**
 * Once the end of the log is reached, from one batch to the next. A view that comes alone is forwarded at once; under
 * load a hundred batches a second cost listener and reporting half of what a batch for each message does.
 */
const PACE_MS = 10

type Deps = {
  eventLog: EventLog
  reporting: Reporting
  log: Logger
  /** Told of each batch that reporting counted. */
  onForwarded: (batch: LogBatch) => void
  standbyMs?: number
  checkMs?: number
}

/**
 * Brings the log to reporting until `signal` aborts: asks for the position, reads on from there, posts each batch.
 * Whatever goes wrong, it asks again and goes on from what reporting says; it keeps nothing itself.
 *
 * Several may run: a batch counts only if it starts at the position, so where two post the same one, one is refused.
 * That one stands by until the position rests although the log goes on.
 */
export async function forward(deps: Deps, signal: AbortSignal): Promise<void> {
  let failures = 0
  while (!signal.aborted) {
    try {
      for await (const conflict of forwardBatches(deps, signal)) {
        failures = 0
        if (conflict === 'overtaken') await standBy(deps, signal)
      }
    } catch (err) {
      if (signal.aborted) return
      if (failures === 0) deps.log.warn({ err }, 'forwarding interrupted')
      await pause(Math.min(RETRY_MS * 2 ** failures, MAX_RETRY_MS), signal)
      failures += 1
    }
  }
}

type Outcome = 'counted' | 'overtaken' | 'behind'

/** Yields what came of each batch. Ends with the first that was not counted, and when reporting has lost its counts. */
async function* forwardBatches(deps: Deps, signal: AbortSignal): AsyncGenerator<Outcome> {
  const { eventLog, reporting, onForwarded } = deps
  let position = await reporting.position(signal)
  const over = new AbortController()
  void untilBehind(deps, () => position, over.signal).then(() => over.abort())
  try {
    for await (const batch of eventLog.read(position, AbortSignal.any([signal, over.signal]))) {
      const since = performance.now()
      const conflict = await reporting.count(batch, signal)
      if (conflict) return yield conflictOf(batch, conflict.position)
      position = { stream: batch.stream, sequence: batch.through }
      onForwarded(batch)
      yield 'counted'
      const left = since + PACE_MS - performance.now()
      if (batch.pending === 0 && left > 0) await pause(left, signal)
    }
  } finally {
    over.abort()
  }
}

/** While nobody plays no batch is refused, and only asking shows that reporting was restarted and wants its counts back. */
async function untilBehind(
  { reporting, checkMs = CHECK_MS }: Deps,
  known: () => Position | undefined,
  signal: AbortSignal,
) {
  while (!signal.aborted) {
    await pause(checkMs, signal)
    const expected = known()
    // A reporting that is away is noticed too when it comes back.
    const position = await reporting.position(signal).catch(() => expected)
    if (expected && isBefore(position, expected)) return
  }
}

/** Ahead of the batch: another listener was faster. Behind it: reporting has lost its maps, and wants them back. */
function conflictOf(batch: LogBatch, position: Position | undefined): Outcome {
  if (position && position.stream !== batch.stream) {
    throw new Error(`reporting counts another log, ${position.stream}, and refuses ${batch.stream}`)
  }
  return position && position.sequence > batch.after ? 'overtaken' : 'behind'
}

async function standBy({ eventLog, reporting, log, standbyMs = STANDBY_MS }: Deps, signal: AbortSignal): Promise<void> {
  log.info('another listener works; standing by')
  let seen = await reporting.position(signal)
  while (!signal.aborted) {
    await pause(standbyMs, signal)
    const position = await reporting.position(signal)
    const rests = position?.stream === seen?.stream && position?.sequence === seen?.sequence
    if (rests && isBefore(position, await eventLog.end())) return log.info('the other listener rests; taking over')
    seen = position
  }
}

function isBefore(position: Position | undefined, end: Position): boolean {
  return position?.stream !== end.stream || position.sequence < end.sequence
}
