import { type RecordedEvent, readPlay, writePlay } from '../shared/records/event-codec.ts'
import type { RecordCodec } from '../shared/records/recent-records.ts'

/**
 * An event's position in the log. `clock`: the latest time at which the log stored a message, up to and including this
 * event's message.
 */
type Logged = { id: string; incarnation: string; sequence: number; clock: number }

type Rejected = Logged & { state: 'rejected'; reason: string }

/**
 * `reason` and `because` come from a Judgement. Without them, the view is qualified; with `requiredMs`, it qualifies
 * once it has been watched for this long.
 */
type Counted = Logged &
  Omit<RecordedEvent, 'id'> & {
    state: 'counted'
    reason: string | undefined
    because: Pick<RecordedEvent, 'id' | 'at'> | undefined
    requiredMs?: number | undefined
  }

/** The outcome of an event in the log. */
export type VerdictRecord = Rejected | Counted

const REJECTED = 0
const QUALIFIED = 1
const NOT_QUALIFIED = 2
const WATCHED = 3

export const verdictCodec: RecordCodec<VerdictRecord> = {
  write(writer, record, names) {
    writer.byte(kindOf(record))
    writer.uint16(toNumber(names, record.incarnation))
    writer.double(record.sequence)
    writer.double(record.clock)
    if (record.reason !== undefined) writer.uint16(toNumber(names, record.reason))
    if (record.state === 'rejected') return
    writePlay(writer, record)
    if (record.requiredMs !== undefined) writer.double(record.requiredMs)
    if (record.because === undefined) return
    writer.id(record.because.id)
    writer.double(record.because.at)
  },
  read(reader, id, names) {
    const kind = reader.byte()
    const nameOf = () => names[reader.uint16()] ?? ''
    const logged = { id, incarnation: nameOf(), sequence: reader.double(), clock: reader.double() }
    const reason = kind === REJECTED || kind === NOT_QUALIFIED ? nameOf() : undefined
    if (kind === REJECTED) return { ...logged, state: 'rejected', reason: reason ?? '' }
    const play = readPlay(reader)
    if (kind === WATCHED)
      return { ...logged, state: 'counted', ...play, reason, because: undefined, requiredMs: reader.double() }
    const because = kind === NOT_QUALIFIED ? { id: reader.id(), at: reader.double() } : undefined
    return { ...logged, state: 'counted', ...play, reason, because }
  },
}

function kindOf(record: VerdictRecord): number {
  if (record.state === 'rejected') return REJECTED
  if (record.requiredMs !== undefined) return WATCHED
  return record.reason === undefined ? QUALIFIED : NOT_QUALIFIED
}

/** Returns a name's index, and appends the name if it is new. */
function toNumber(names: string[], name: string): number {
  const number = names.indexOf(name)
  return number < 0 ? names.push(name) - 1 : number
}
