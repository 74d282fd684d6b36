import type { LiveChanges, LiveSnapshot } from '../contracts/live.ts'
import type { NumberedEvent } from './replay-buffer.ts'

/** Removes user ids from an event, for subscribers that may not see them. */
export function withoutUsers(numbered: NumberedEvent): NumberedEvent {
  if (numbered.event === 'snapshot') return { ...numbered, data: snapshotWithoutUsers(numbered.data) }
  return { ...numbered, data: changesWithoutUsers(numbered.data) }
}

function snapshotWithoutUsers(data: LiveSnapshot): LiveSnapshot {
  return { ...data, top: { ...data.top, users: [] } }
}

function changesWithoutUsers({ qualified, ...data }: LiveChanges): LiveChanges {
  return { ...data, users: {}, ...(qualified && { qualified: { ...qualified, users: {} } }) }
}
