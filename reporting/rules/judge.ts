import type { Verdict } from '../../shared/contracts/view-explanation.ts'
import { eventCodec } from '../../shared/records/event-codec.ts'
import { createRecentRecords, type RecordCodec } from '../../shared/records/recent-records.ts'
import { isWatchRule, type Rule, type RuleEvent, type ViewRule } from './view-rule.ts'

/** `reason` is the name of the rule that disqualifies the view, and `because` is the earlier event that caused this. */
export type Judgement =
  | { verdict: Extract<Verdict, 'qualified'>; reason?: undefined; because?: undefined }
  | { verdict: Extract<Verdict, 'not-qualified'>; reason: string; because: RuleEvent }

/** An event, and the log's clock when it was judged. */
export type Judged = { event: RuleEvent; clock: number }

/** Events in log order, decoded when they are read. `encoded` returns their ids, plays and clocks as bytes. */
export type KnownEvents = Iterable<Judged> & { length: number; encoded(): Iterable<Uint8Array> }

/** Applies all rules except those that require watch time to the views of the log, in log order. */
export type Judge = {
  /**
   * @param clock the latest time so far at which the log stored a message, in milliseconds since 1970. Unlike the times
   *   of events, it never goes backwards, so the remembered events depend only on the log.
   */
  judge(event: RuleEvent, clock: number): Judgement
  /**
   * Restores an event that was judged earlier. Events must be restored in log order.
   * @param rule the only rule that still remembers the event; undefined if all rules do
   */
  restore(judged: Judged, rule?: string): void
  /** The events that may still affect later ones, by rule, in log order. */
  known(): { rule: string; events: KnownEvents }[]
}

export function createJudge(rules: readonly Rule[]): Judge {
  const windows = rules.flatMap((rule) => (isWatchRule(rule) ? [] : [{ rule, window: createWindow(rule) }]))
  return {
    judge(event, clock) {
      let judgement: Judgement = QUALIFIED
      for (const { rule, window } of windows) {
        const because = rule.judge(window.add(event, clock), event)
        if (because && judgement === QUALIFIED) judgement = { verdict: 'not-qualified', reason: rule.name, because }
      }
      return judgement
    },
    restore({ event, clock }, ruleName) {
      for (const { rule, window } of windows) if (rule.name === (ruleName ?? rule.name)) window.restore(event, clock)
    },
    known: () => windows.map(({ rule, window }) => ({ rule: rule.name, events: window.events() })),
  }
}

const QUALIFIED: Judgement = { verdict: 'qualified' }

/** `id` is the key of the event. */
type KeyedEvent = Judged & { id: string }

const keyedEventCodec: RecordCodec<KeyedEvent> = {
  write(writer, { event, clock }, names) {
    writer.id(event.id)
    eventCodec.write(writer, event, names)
    writer.double(clock)
  },
  read: (reader, id, names) => ({ id, event: eventCodec.read(reader, reader.id(), names), clock: reader.double() }),
}

/** The last events by key, in a compact encoding: as objects, the events of a minute would take most of the heap. */
function createWindow({ keyOf, windowMs, keeps }: ViewRule) {
  let latest = Number.NEGATIVE_INFINITY
  const isInWindow = ({ clock }: Judged) => latest - clock <= windowMs
  const records = createRecentRecords({ max: 0, codec: keyedEventCodec, keeps: isInWindow })

  /** Returns the number of the event's record. */
  function append(event: RuleEvent, clock: number): number {
    latest = Math.max(latest, clock)
    return records.add({ id: keyOf(event), event, clock }) ?? 0
  }

  return {
    restore: append,
    /** Adds an event, and returns the earlier ones with the same key. */
    add(event: RuleEvent, clock: number): readonly RuleEvent[] {
      const earlier: RuleEvent[] = []
      const number = append(event, clock)
      // The clock never goes backwards, so all events before an expired event have expired too.
      records.findBefore(number, (last) => !isInWindow(last) || earlier.push(last.event) === keeps)
      return earlier.reverse()
    },
    events(): KnownEvents {
      const { size, items, bytes } = records.list()
      let expired = 0
      for (const judged of items()) {
        if (isInWindow(judged)) break
        expired += 1
      }
      return {
        length: size - expired,
        encoded: () => bytes().drop(expired),
        [Symbol.iterator]: () => items().drop(expired),
      }
    },
  }
}
