import { randomUUID } from 'node:crypto'
import type { NatsLink } from '../../../shared/nats/link.ts'

const SUBJECT = 'events.view.poison'

export type Poison = { id: string; sequence: number; command: string }

/**
 * Appends to the log a message that is not a valid batch of views.
 * @throws if the log does not store it
 */
export async function throwPoison(nats: Pick<NatsLink, 'connection'>): Promise<Poison> {
  const id = `broken-${randomUUID().slice(0, 8)}`
  const body = JSON.stringify({ id })
  const { seq } = await nats.connection().jetstream().publish(SUBJECT, new TextEncoder().encode(body))
  return { id, sequence: seq, command: `nats pub ${SUBJECT} '${body}'` }
}
