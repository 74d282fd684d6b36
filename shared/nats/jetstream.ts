import { ErrorCode, type JetStreamManager, NatsError, type StreamInfoRequestOptions } from 'nats'
import { toReason } from '../runtime/reason.ts'
import { NatsDownError, type NatsLink } from './link.ts'
import { NoLeaderError } from './quorum.ts'

export type { JetStreamManager } from 'nats'

const API_TIMEOUT_MS = 2_000

/** JetStream error codes (`server/errors.json` in nats-server). */
export const STREAM_NOT_FOUND = 10_059
const WRONG_LAST_SEQUENCE = [10_071, 10_164]
const CONSUMER_NOT_FOUND = 10_014
const MESSAGE_NOT_FOUND = 10_037
const NOT_ENABLED = [10_039, 10_076]
/** The cluster, or the stream, has no leader. */
const CLUSTER_NOT_AVAILABLE = 10_008

/** @throws NatsDownError */
export function openJetStreamManager(
  nats: Pick<NatsLink, 'connection'>,
  timeout = API_TIMEOUT_MS,
): Promise<JetStreamManager> {
  return nats.connection().jetstreamManager({ checkAPI: false, timeout })
}

export function hasCode(error: unknown, code: number): boolean {
  return error instanceof NatsError && error.api_error?.err_code === code
}

/** Returns true if a message was not stored because the last sequence differs from the expected one. */
export function isWrongLastSequence(error: unknown): boolean {
  return WRONG_LAST_SEQUENCE.some((code) => hasCode(error, code))
}

/** Returns true if a request has no responders, because the stream does not exist or JetStream is disabled. */
export function isNoResponders(error: unknown): boolean {
  // NATS reports `NoResponders` as status 503. A full disk has the same status, but its error has an `api_error`.
  return error instanceof NatsError && error.code === ErrorCode.NoResponders && !error.api_error
}

/**
 * Returns true if a pull failed because the server removed the consumer. From nats-server 2.10 on, such a pull fails
 * with `NoResponders`.
 */
export function isConsumerGone(error: unknown): boolean {
  return hasCode(error, CONSUMER_NOT_FOUND) || isNoResponders(error)
}

/** Returns true if JetStream is disabled on the server or for the account. */
export function isWithoutJetStream(error: unknown): boolean {
  return isNoResponders(error) || NOT_ENABLED.some((code) => hasCode(error, code))
}

function isTimeout(error: unknown): boolean {
  if (error instanceof NatsError) return error.code === ErrorCode.Timeout
  return error instanceof Error && error.name === 'TimeoutError'
}

/** Returns true if a request failed because no leader responded to it. A later request may succeed. */
export function isTemporary(error: unknown): boolean {
  return error instanceof NatsDownError || isTimeout(error) || isNoResponders(error) || isWithoutLeader(error)
}

function isWithoutLeader(error: unknown): boolean {
  return error instanceof NoLeaderError || hasCode(error, CLUSTER_NOT_AVAILABLE)
}

/**
 * Formats the failure of a request to a stream or bucket. In a cluster, attributes a timeout to the leader, because
 * most requests time out while there is no leader.
 */
export function toStreamReason(error: unknown, what: string, nats: Pick<NatsLink, 'connection' | 'state'>): string {
  const isClustered = nats.state() === 'up' && nats.connection().info?.cluster !== undefined
  if (isWithoutLeader(error)) return `${what} has no leader`
  if (isClustered && isTimeout(error)) return `the leader of ${what} did not respond in time`
  return toJetStreamReason(error)
}

/** Formats a JetStream error as one line. */
export function toJetStreamReason(error: unknown): string {
  if (isNoResponders(error)) return 'JetStream is not available'
  if (isTimeout(error)) return 'JetStream did not respond in time'
  if (error instanceof NatsError && error.api_error) return error.api_error.description
  return toReason(error)
}

/** Returns the state of a stream, or undefined if it does not exist. */
export function streamNamed(jsm: JetStreamManager, name: string, options?: Partial<StreamInfoRequestOptions>) {
  return unlessNotFound(jsm.streams.info(name, options), STREAM_NOT_FOUND)
}

/**
 * The first message on a subject at or after a sequence. nats-server supports this query from 2.9 on, but the client's
 * types lack it.
 */
export function nextMessage(jsm: JetStreamManager, stream: string, subject: string, sequence: number) {
  const query = { seq: sequence, next_by_subj: subject }
  return unlessNotFound(jsm.streams.getMessage(stream, query))
}

/** The last message on a subject, read from the stream's leader, because a direct get may read a lagging replica. */
export function lastMessage(jsm: JetStreamManager, stream: string, subject: string) {
  return unlessNotFound(jsm.streams.getMessage(stream, { last_by_subj: subject }))
}

/** Returns the message at a sequence, or undefined. */
export function messageAt(jsm: JetStreamManager, stream: string, sequence: number) {
  return unlessNotFound(jsm.streams.getMessage(stream, { seq: sequence }))
}

async function unlessNotFound<Found>(search: Promise<Found>, code = MESSAGE_NOT_FOUND): Promise<Found | undefined> {
  try {
    return await search
  } catch (error) {
    if (hasCode(error, code)) return undefined
    throw error
  }
}
