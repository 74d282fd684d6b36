import { type JetStreamManager, NatsError, type StoredMsg } from 'nats'
import type { NatsLink } from './link.ts'

const API_TIMEOUT_MS = 2_000

/** JetStream's error codes (`server/errors.json` of nats-server). */
export const WRONG_LAST_SEQUENCE = 10_071
export const STREAM_NOT_FOUND = 10_059
export const MESSAGE_NOT_FOUND = 10_037

/** @throws NatsDownError */
export function jetStreamManager(nats: NatsLink): Promise<JetStreamManager> {
  return nats.connection().jetstreamManager({ checkAPI: false, timeout: API_TIMEOUT_MS })
}

export function hasCode(error: unknown, code: number): boolean {
  return error instanceof NatsError && error.api_error?.err_code === code
}

/** The last message on a subject, asked of the stream's leader: a direct get may be answered by a replica that is behind. */
export async function lastMessage(
  jsm: JetStreamManager,
  stream: string,
  subject: string,
): Promise<StoredMsg | undefined> {
  try {
    return await jsm.streams.getMessage(stream, { last_by_subj: subject })
  } catch (error) {
    if (hasCode(error, MESSAGE_NOT_FOUND)) return undefined
    throw error
  }
}
