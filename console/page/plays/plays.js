import { byId, setText, whileVisible } from '../dom.js'
import { poll } from '../poll.js'
import { retryImport } from '../retry-import.js'
import { createFates } from './fates.js'
import { createPlayList, keyOf } from './play-list.js'
import { describeFate } from './play-row.js'
import { startTrace, UNRECORDED } from './trace-context.js'

/** @typedef {import('../../../shared/contracts/trace.ts').TracedPlay} TracedPlay */
/** @typedef {Omit<TracedPlay, 'status'> & { status: number | undefined }} Play `status`: undefined before the response */
/** @typedef {{ status: number, viewId: string | null, requestId: string | null, ms: number }} PlayResult */
/** @typedef {ReturnType<typeof createPlays>} Plays */
/** @typedef {ReturnType<typeof createFates>} Fates */

const MAX_PLAYS = 50
const MAX_SHOWN = 5
const POLL_MS = 2_000
const TIMEOUT_MS = 1_500

const emptyTexts = {
  own: 'Play an asset to follow the play here until it is counted.',
  loading: 'Loading…',
  none: 'No plays have been recorded yet. Recording is off if TRACES_KEPT is 0.',
  forbidden: 'This edge shows the plays of all users only to operators.',
  failed: 'The edge did not return the list. Retrying…',
}

const PAUSED = 'Paused while the pointer is over the list.'
const OPEN_FAILED = 'The play did not open. Retrying…'

/**
 * The panel that lists the recent plays from this page or from all users, with the outcome of each play.
 * @param {{
 *   titleOf: (id: string) => string | undefined, token: import('../token.js').Token, clock: { now: () => number },
 * }} deps
 */
export function createPlays({ titleOf, token, clock }) {
  const list = byId('plays-list', HTMLOListElement)
  const hint = byId('plays-hint', HTMLElement)
  const more = byId('plays-more', HTMLButtonElement)
  const announcement = byId('plays-announcement', HTMLElement)
  /** @type {Play[]} */
  const ownPlays = []
  /** @type {Play[]} */
  let others = []
  /** @type {keyof typeof emptyTexts} */
  let state = 'own'
  let isOwn = true
  let showsAll = false
  /** @type {import('./play-view.js').PlayView | undefined} */
  let view
  /** @type {Play | undefined} */
  let requested
  let isOpenFailed = false

  /** @param {Play} play */
  function onChange(play) {
    rows.update(play)
    view?.update(play)
    const [latest] = ownPlays
    if (latest && keyOf(latest) === keyOf(play)) announce(latest)
  }

  /** The trackers are separate, so that other users' plays do not displace this page's plays. */
  const fates = { own: createFates({ token, onChange }), others: createFates({ token, onChange }) }
  const shownFates = () => (isOwn ? fates.own : fates.others)

  /** @param {Play} play */
  function announce(play) {
    const fate = fates.own.of(play)
    if (fate.isSettled)
      setText(announcement, `${titleOf(play.assetId) ?? play.assetId}: ${describeFate(play, fate).text}`)
  }

  /** @param {Play} play */
  async function open(play) {
    const tracker = shownFates()
    requested = play
    const { createPlayView } = await retryImport(
      () => import('./play-view.js'),
      () => showOpenFailure(true),
    )
    showOpenFailure(false)
    // The user may have opened another play while the module was loading.
    if (requested !== play) return
    view ??= createPlayView({ titleOf })
    void view.open(play, tracker)
    render()
  }

  /** @param {boolean} isFailed */
  function showOpenFailure(isFailed) {
    isOpenFailed = isFailed
    render()
  }

  /**
   * The recorded plays that are shown, most important first: the play in the dialog, which may have left the list,
   * then the plays in the list.
   * @param {Fates} tracker
   * @param {Play[]} listed
   */
  function toFollowed(tracker, listed) {
    const opened = view?.opened()
    const plays = [
      ...(opened?.fates === tracker ? [opened.play] : []),
      ...(tracker === shownFates() ? listed : []),
    ].filter(({ status }) => status === 200)
    return [...new Map(plays.map((play) => [keyOf(play), play])).values()]
  }

  const rows = createPlayList(list, { titleOf, onOpen: (play) => void open(play) })

  function render() {
    const plays = isOwn ? ownPlays : others
    const shown = plays.slice(0, showsAll ? MAX_PLAYS : MAX_SHOWN)
    for (const tracker of [fates.own, fates.others]) tracker.follow(toFollowed(tracker, shown))
    rows.show(shown, shownFates().of)
    setText(hint, toHint(plays.length === 0))
    more.hidden = plays.length <= MAX_SHOWN
    more.ariaExpanded = String(showsAll)
    setText(more, showsAll ? 'Show fewer' : `Show all ${plays.length}`)
  }

  /** @param {boolean} isEmpty */
  function toHint(isEmpty) {
    if (isOpenFailed) return OPEN_FAILED
    if (isEmpty) return emptyTexts[isOwn ? 'own' : state]
    return !isOwn && isBusy(list) ? PAUSED : ''
  }

  more.addEventListener('click', () => {
    showsAll = !showsAll
    render()
  })
  for (const choice of document.querySelectorAll('#plays [name="plays-of"]')) {
    choice.addEventListener('change', () => {
      isOwn = byId('plays-own', HTMLInputElement).checked
      rows.reset()
      if (others.length === 0) state = 'loading'
      render()
    })
  }
  whileVisible(() =>
    poll(
      async () => (isOwn || isBusy(list) ? undefined : fetchPlays({ ...token.headers(), ...UNRECORDED })),
      (found) => {
        if (found === undefined) return render()
        state = typeof found === 'string' ? found : 'none'
        // Keep the old list while the edge is down: the list may be out of date, but it is not wrong.
        if (typeof found !== 'string') others = found
        else if (found === 'forbidden') others = []
        render()
      },
      POLL_MS,
    ),
  )
  render()

  return {
    /**
     * Adds a play that this page sends. This play's trace is always recorded.
     * @param {{ assetId: string, userId: string }} play
     */
    start({ assetId, userId }) {
      const { traceId, traceparent } = startTrace()
      const at = new Date(clock.now() * 1_000).toISOString()
      /** @type {Play} */
      const play = { traceId, requestId: '', viewId: null, assetId, userId, at, durationMs: 0, status: undefined }
      ownPlays.unshift(play)
      ownPlays.splice(MAX_PLAYS)
      if (isOwn) render()
      return {
        headers: { traceparent },
        /** @param {PlayResult} result */
        finish({ status, viewId, requestId, ms }) {
          Object.assign(play, { status, viewId, requestId: requestId ?? '', durationMs: ms })
          view?.update(play)
          render()
        },
      }
    },
  }
}

/**
 * Returns true while the pointer is over the list. Rows must not move under the pointer.
 * @param {HTMLElement} list
 */
function isBusy(list) {
  return list.matches(':hover')
}

/**
 * @param {Record<string, string>} headers
 * @returns {Promise<TracedPlay[] | 'forbidden' | 'failed'>}
 */
async function fetchPlays(headers) {
  try {
    const response = await fetch(`/traces?limit=${MAX_PLAYS}`, { headers, signal: AbortSignal.timeout(TIMEOUT_MS) })
    if (response.status === 401 || response.status === 403) return 'forbidden'
    if (!response.ok) return 'failed'
    const { traces } = await response.json()
    return traces
  } catch {
    return 'failed'
  }
}
