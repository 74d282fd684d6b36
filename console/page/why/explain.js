/** @typedef {import('../../../shared/contracts/view-explanation.ts').ExplainedView} ExplainedView */

/**
 * What `GET /views/:viewId` says about a view. `knownSince`: when the log stored the oldest view whose verdict is kept.
 * `hidesOthers`: the view may exist, but belong to another user.
 * @typedef {{ kind: 'explained', view: ExplainedView }
 *   | { kind: 'not-found', knownSince: string | null, hidesOthers: boolean }
 *   | { kind: 'unauthorized' | 'invalid' | 'unavailable' | 'unreachable' }} Explanation
 */
/** @typedef {'final' | 'polling' | 'stopped'} Progress `stopped`: not final, but no longer polled */

/** `GET /views/:viewId` takes less than a second. */
const TIMEOUT_MS = 2_000
const POLL_MS = 500
/** After this many polls (about ten seconds), polling slows down. */
const FAST_POLLS = 20
const SLOW_POLL_MS = 3_000
/** Maximum number of polls: about three minutes in total. */
export const MAX_POLLS = 80

/**
 * The time until the next poll of an explanation that is not final.
 * @param {number} polls how many times it has been polled
 */
export function toPollDelay(polls) {
  return polls < FAST_POLLS ? POLL_MS : SLOW_POLL_MS
}

/**
 * Polls a view's explanation until it is final or `MAX_POLLS` is reached. The returned function stops the polling.
 * @param {string} id
 * @param {import('../token.js').Token} token
 * @param {(explanation: Explanation, progress: Progress) => void} onExplanation
 */
export function watchExplanation(id, token, onExplanation) {
  let timer = 0
  let isStopped = false

  /** @param {number} polls */
  async function poll(polls) {
    const explanation = await fetchExplanation(id, token.headers())
    if (isStopped) return
    const progress = isFinal(explanation) ? 'final' : polls < MAX_POLLS ? 'polling' : 'stopped'
    onExplanation(explanation, progress)
    if (progress === 'polling') timer = setTimeout(poll, toPollDelay(polls), polls + 1)
  }

  void poll(1)
  return () => {
    isStopped = true
    clearTimeout(timer)
  }
}

/** @param {Explanation} explanation */
export function isFinal(explanation) {
  if (explanation.kind !== 'explained') return ['not-found', 'unauthorized', 'invalid'].includes(explanation.kind)
  const { state, verdict } = explanation.view
  return state === 'rejected' || (state === 'counted' && verdict !== 'pending')
}

/**
 * @param {string} id
 * @param {Record<string, string>} headers
 * @returns {Promise<Explanation>}
 */
export async function fetchExplanation(id, headers) {
  // As the last path segment, these ids would make the browser request a different resource.
  if (['', '.', '..'].includes(id)) return { kind: 'invalid' }
  try {
    const signal = AbortSignal.timeout(TIMEOUT_MS)
    const response = await fetch(`/views/${encodeURIComponent(id)}`, { signal, headers })
    if (response.status === 200) return { kind: 'explained', view: await response.json() }
    if (response.status === 404) {
      const { knownSince = null } = await response.json()
      return { kind: 'not-found', knownSince, hidesOthers: 'authorization' in headers }
    }
    if (response.status === 401 || response.status === 403) return { kind: 'unauthorized' }
    return { kind: response.status === 400 ? 'invalid' : 'unavailable' }
  } catch {
    return { kind: 'unreachable' }
  }
}
