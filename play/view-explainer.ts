import { expectBody, type ServiceClient } from '../shared/client/service-client.ts'
import { fromNullablePosition, type LogPosition, toPosition } from '../shared/contracts/position.ts'
import { DEAD_LETTER, ExplainedView, ViewNotFound } from '../shared/contracts/view-explanation.ts'
import type { EventLog, Search } from '../shared/event-log/event-log.ts'
import type { Logger } from '../shared/runtime/log.ts'
import { toReason } from '../shared/runtime/reason.ts'
import { UnavailableError } from '../shared/runtime/unavailable-error.ts'
import type { RequestContext } from '../shared/tracing/tracing.ts'
import type { OutboxFiles } from './outbox-files.ts'
import type { RecentView, RecentViews } from './recent-views.ts'

/** These timeouts add up to less than a second, even though reporting is called twice. */
const REPORTING_MS = 200
const OUTBOXES_MS = 150
const LOG_MS = 300

/** Bounds the data that a search of the log transfers. */
const MAX_MESSAGES = 1_000

/**
 * Explains what became of a view.
 * @throws UnavailableError if the view's fate is unknown
 */
export type ViewExplainer = (id: string, request: RequestContext) => Promise<ExplainedView | ViewNotFound>

type Deps = {
  reporting: Pick<ServiceClient, 'get'>
  /** Finds views in the outboxes of this process and others. Undefined if there are no outboxes. */
  findWaiting?: OutboxFiles['find'] | undefined
  recent: Pick<RecentViews, 'get'>
  eventLog: Pick<EventLog, 'find'>
  log: Logger
}

/**
 * A view moves from an outbox to the log, and is then counted. So the places are searched in this order, and reporting
 * is called again at the end: a view that moves during the search is found in a later place.
 */
export function createViewExplainer({ reporting, findWaiting, recent, eventLog, log }: Deps): ViewExplainer {
  async function look(id: string, request: RequestContext): Promise<ExplainedView | ViewNotFound | undefined> {
    const options = { signal: AbortSignal.timeout(REPORTING_MS), ...request }
    return attempt('reporting', async () => {
      const response = await reporting.get(`/events/views/${encodeURIComponent(id)}`, options)
      return response.status === 404
        ? expectBody(response, 404, ViewNotFound)
        : expectBody(response, 200, ExplainedView)
    })
  }

  /** Resolves to undefined if the outboxes cannot be searched. */
  function searchOutboxes(id: string): Promise<{ found: RecentView | undefined } | undefined> {
    return attempt('outboxes', async () => ({ found: await findWaiting?.(id, AbortSignal.timeout(OUTBOXES_MS)) }))
  }

  function searchLog(id: string, after: LogPosition | undefined): Promise<Search | undefined> {
    const options = { maxMessages: MAX_MESSAGES, signal: AbortSignal.timeout(LOG_MS) }
    return attempt('log', () => eventLog.find(id, after, options))
  }

  async function attempt<Result>(place: string, work: () => Promise<Result>): Promise<Result | undefined> {
    try {
      return await work()
    } catch (error) {
      log.debug({ place, reason: toReason(error) }, 'cannot search for a view')
      return undefined
    }
  }

  return async function explain(id, request) {
    const first = await look(id, request)
    if (first && 'state' in first) return first
    const outboxes = await searchOutboxes(id)
    if (outboxes?.found) return toExplained(outboxes.found, 'outbox')
    const recorded = recent.get(id)
    if (recorded && !first) return toExplained(recorded, 'log')
    const logged = await searchLog(id, first && fromNullablePosition(first.position))
    if (logged?.found) return toLogged(id, logged.found)
    const last = await look(id, request)
    if (last && 'state' in last) return last
    if (recorded && !logged?.isComplete) return toExplained(recorded, 'log')
    // Only a search that began at the position of the counts proves that the log does not have the view.
    if (first && last && outboxes && logged?.isComplete) return last
    throw new UnavailableError('it is unknown what became of the view')
  }
}

const summaries = {
  outbox: 'Recorded in an outbox; it will be counted once the event log is available again.',
  log: 'In the event log, but not counted yet.',
  rejected: 'Not a view: its message in the log is not a valid batch of views.',
}

function toExplained({ id, assetId, userId, at }: RecentView, state: 'outbox' | 'log'): ExplainedView {
  return { ...UNKNOWN, id, state, assetId, userId, at, summary: summaries[state] }
}

function toLogged(id: string, { view, position }: NonNullable<Search['found']>): ExplainedView {
  const at = { position: toPosition(position) }
  if (view) return { ...toExplained(view, 'log'), ...at }
  return { ...UNKNOWN, id, state: 'rejected', reason: DEAD_LETTER, ...at, summary: summaries.rejected }
}

const UNKNOWN = {
  verdict: null,
  reason: null,
  rule: null,
  because: null,
  assetId: null,
  userId: null,
  at: null,
  position: null,
}
