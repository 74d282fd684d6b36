import { whileVisible } from '../dom.js'
import { poll } from '../poll.js'
import { fetchExplanation, isFinal, MAX_POLLS, toPollDelay } from '../why/explain.js'
import { keyOf } from './play-list.js'
import { UNRECORDED } from './trace-context.js'

/** @typedef {import('../../../shared/contracts/trace.ts').SystemTrace} SystemTrace */
/** @typedef {import('./plays.js').Play} Play */
/** @typedef {import('../why/explain.js').Explanation} Explanation */
/** @typedef {import('./waterfall.js').Waterfall} Waterfall */
/**
 * What is known so far about a play's outcome. `waterfall` is null if the trace is not kept, and undefined until the
 * edge has returned the trace.
 * @typedef {{ explanation?: Explanation, trace?: SystemTrace, waterfall?: Waterfall | null, isSettled: boolean }} Fate
 */
/** @typedef {Fate & { polls: number, traceReads: number, nextAt: number }} Entry */

const ROUND_MS = 500
/** Maximum number of plays per round. For all pages together, the edge explains at most 20 views at once. */
const MAX_PER_ROUND = 4
/** Maximum number of times to read a trace after its view is counted: the last spans may arrive slightly later. */
const MAX_TRACE_READS = 3
const TRACE_TIMEOUT_MS = 2_000
const MAX_KEPT = 200

/**
 * Tracks plays until their outcome is final.
 * @param {{ token: import('../token.js').Token, onChange: (play: Play) => void }} deps
 */
export function createFates({ token, onChange }) {
  /** @type {Map<string, Entry>} */
  const entries = new Map()
  /** @type {readonly Play[]} */
  let followed = []

  /** @param {Play} play */
  function entryOf(play) {
    const key = keyOf(play)
    const entry = entries.get(key) ?? { isSettled: false, polls: 0, traceReads: 0, nextAt: 0 }
    entries.set(key, entry)
    const [oldest] = entries.keys()
    if (entries.size > MAX_KEPT && oldest !== undefined) entries.delete(oldest)
    return entry
  }

  async function round() {
    const due = followed.filter((play) => {
      const { isSettled, nextAt } = entryOf(play)
      return !isSettled && play.viewId !== null && nextAt <= performance.now()
    })
    await Promise.all(due.slice(0, MAX_PER_ROUND).map(update))
  }

  /** @param {Play} play */
  async function update(play) {
    const entry = entryOf(play)
    const before = JSON.stringify([entry.explanation, entry.waterfall])
    entry.polls += 1
    entry.nextAt = performance.now() + toPollDelay(entry.polls) * 0.9
    const headers = { ...token.headers(), ...UNRECORDED }
    if (!entry.explanation || !isFinal(entry.explanation)) {
      entry.explanation = await fetchExplanation(play.viewId ?? '', headers)
    }
    const isDone = isFinal(entry.explanation)
    if (isDone && (await readTrace(play, entry))) entry.traceReads += 1
    entry.isSettled = entry.polls >= MAX_POLLS || (isDone && isComplete(entry))
    if (entry.isSettled || JSON.stringify([entry.explanation, entry.waterfall]) !== before) onChange(play)
  }

  /**
   * Reads the trace, which shows when the view was counted.
   * @param {Play} play
   * @param {Entry} entry
   * @returns {Promise<boolean>} false if the edge did not respond
   */
  async function readTrace(play, entry) {
    const waterfalls = await import('./waterfall.js').catch(() => undefined)
    // The module did not load; the next read retries the import.
    if (!waterfalls) return false
    const { isSpanOf, toWaterfall } = waterfalls
    const trace = await fetchTrace(play.traceId, { ...token.headers(), ...UNRECORDED })
    const waterfall = trace && toWaterfall(trace.spans, isSpanOf(play))
    // The edge drops old traces, so a new read may yield no waterfall. In that case, keep the old waterfall.
    if (trace !== undefined && (waterfall || !entry.waterfall)) {
      Object.assign(entry, { trace: trace ?? undefined, waterfall: waterfall ?? null })
    }
    return trace !== undefined
  }

  whileVisible(() => poll(round, () => {}, ROUND_MS))

  return {
    /** @param {readonly Play[]} plays the plays that are shown, most important first */
    follow(plays) {
      followed = plays
    },
    /**
     * @param {Play} play
     * @returns {Readonly<Fate>}
     */
    of: entryOf,
    /**
     * Reads a play's trace, unless its outcome is final and its waterfall is loaded.
     * @param {Play} play
     */
    async load(play) {
      const entry = entryOf(play)
      if (!entry.isSettled || !entry.waterfall) await readTrace(play, entry)
    },
  }
}

/** @param {Entry} entry */
function isComplete({ explanation, waterfall, traceReads }) {
  const isCounted = explanation?.kind === 'explained' && explanation.view.state === 'counted'
  return !isCounted || waterfall?.countedMs !== undefined || traceReads >= MAX_TRACE_READS
}

/**
 * Returns null if the trace is unknown or hidden from this user, and undefined if the edge did not respond.
 * @param {string} traceId
 * @param {Record<string, string>} headers
 * @returns {Promise<SystemTrace | null | undefined>}
 */
async function fetchTrace(traceId, headers) {
  try {
    const response = await fetch(`/traces/${traceId}`, { headers, signal: AbortSignal.timeout(TRACE_TIMEOUT_MS) })
    if (response.ok) return await response.json()
    return response.status < 429 ? null : undefined
  } catch {
    return undefined
  }
}
