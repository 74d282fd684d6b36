import { ErrorCode, type JetStreamManager, NatsError, type StoredMsg } from 'nats'
import type { NatsLink } from './link.ts'

export type { JetStreamManager } from 'nats'

const API_TIMEOUT_MS = 2_000

/** JetStream error codes (`server/errors.json` of nats-server). */
export const WRONG_LAST_SEQUENCE = 10_071
export const STREAM_NOT_FOUND = 10_059
const MESSAGE_NOT_FOUND = 10_037
const NOT_ENABLED = [10_039, 10_076]

/** @throws NatsDownError */
export function openJetStreamManager(nats: Pick<NatsLink, 'connection'>): Promise<JetStreamManager> {
  return nats.connection().jetstreamManager({ checkAPI: false, timeout: API_TIMEOUT_MS })
}

export function hasCode(error: unknown, code: number): boolean {
  return error instanceof NatsError && error.api_error?.err_code === code
}

/** Whether JetStream is disabled on the server or for the account. */
export function isWithoutJetStream(error: unknown): boolean {
  if (!(error instanceof NatsError)) return false
  return error.code === ErrorCode.NoResponders || NOT_ENABLED.includes(error.api_error?.err_code ?? 0)
}

/** The first message on a subject at or after a sequence. Servers support this since 2.9; the client's types do not. */
export function nextMessage(jsm: JetStreamManager, stream: string, subject: string, sequence: number) {
  const query = { seq: sequence, next_by_subj: subject }
  return unlessNotFound(jsm.streams.getMessage(stream, query))
}

/** The last message on a subject, from the stream's leader: a direct get may read a replica that lags behind. */
export function lastMessage(jsm: JetStreamManager, stream: string, subject: string) {
  return unlessNotFound(jsm.streams.getMessage(stream, { last_by_subj: subject }))
}

/** The message at a sequence. */
export function messageAt(jsm: JetStreamManager, stream: string, sequence: number) {
  return unlessNotFound(jsm.streams.getMessage(stream, { seq: sequence }))
}

async function unlessNotFound(message: Promise<StoredMsg>): Promise<StoredMsg | undefined> {
  try {
    return await message
  } catch (error) {
    if (hasCode(error, MESSAGE_NOT_FOUND)) return undefined
    throw error
  }
}
