import type { Verdict } from '../../shared/contracts/view-explanation.ts'
import { eventCodec } from '../../shared/records/event-codec.ts'
import { createRecentRecords, type RecordCodec } from '../../shared/records/recent-records.ts'
import { isWatchRule, type Rule, type RuleEvent, type ViewRule } from './view-rule.ts'

/** `reason` is the name of the rule that disqualifies the view, and `because` the earlier event that decided it. */
export type Judgement =
  | { verdict: Extract<Verdict, 'qualified'>; reason?: undefined; because?: undefined }
  | { verdict: Extract<Verdict, 'not-qualified'>; reason: string; because: RuleEvent }

/** An event, and the log's clock when it was judged. */
export type Judged = { event: RuleEvent; clock: number }

/** Events in log order. They are decoded when they are read. `encoded` are their ids, plays and clocks in bytes. */
export type KnownEvents = Iterable<Judged> & { length: number; encoded(): Iterable<Uint8Array> }

/** Folds the rules over the views of the log, except those that require watch time. */
export type Judge = {
  /**
   * @param clock the latest time at which the log stored a message so far, in milliseconds since 1970. Unlike the times
   *   of events, it never goes back, so the events that are still known depend on the log alone.
   */
  judge(event: RuleEvent, clock: number): Judgement
  /**
   * Restores an event that was judged earlier. Events must be restored in log order.
   * @param rule the only rule that still knows the event; undefined if all rules know it
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
      for (const { rule, window } of windows) if (rule.name === (ruleName ?? rule.name)) window.add(event, clock)
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

/** The last events by key, compact: as objects, the events of a minute would be most of the heap. */
function createWindow({ keyOf, windowMs, keeps }: ViewRule) {
  let latest = Number.NEGATIVE_INFINITY
  const isKnown = ({ clock }: Judged) => latest - clock <= windowMs
  const records = createRecentRecords({ max: 0, codec: keyedEventCodec, keeps: isKnown })

  return {
    /** Adds an event, and returns the earlier ones with the same key. */
    add(event: RuleEvent, clock: number): readonly RuleEvent[] {
      latest = Math.max(latest, clock)
      const earlier: RuleEvent[] = []
      const number = records.add({ id: keyOf(event), event, clock }) ?? 0
      // The clock never goes back, so all events before an unknown event are unknown too.
      records.findBefore(number, (last) => !isKnown(last) || earlier.push(last.event) === keeps)
      return earlier.reverse()
    },
    events(): KnownEvents {
      const { size, items, bytes } = records.list()
      let unknown = 0
      for (const judged of items()) {
        if (isKnown(judged)) break
        unknown += 1
      }
      return {
        length: size - unknown,
        encoded: () => bytes().drop(unknown),
        [Symbol.iterator]: () => items().drop(unknown),
      }
    },
  }
}
