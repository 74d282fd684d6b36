import { createCopyButton } from '../copy-button.js'
import { byId, createEntry, element, setText } from '../dom.js'
import { formatMs } from '../format-ms.js'
import { timeOfDay } from '../format-time.js'
import { sleep } from '../sleep.js'
import { createWhyLink, renderOutcome } from '../why/explanation.js'
import { keyOf } from './play-list.js'
import { describeFate } from './play-row.js'

/** @typedef {import('./plays.js').Play} Play */
/** @typedef {import('./waterfall.js').Section} Section */
/** @typedef {import('./waterfall.js').Row} Row */
/** @typedef {ReturnType<typeof createPlayView>} PlayView */
/** @typedef {ReturnType<typeof import('./fates.js').createFates>} Fates */

const RETRY_MS = 1_000

/**
 * The dialog that shows one play: what became of it, its waterfall and its ids.
 * @param {{ titleOf: (id: string) => string | undefined }} deps
 */
export function createPlayView({ titleOf }) {
  const dialog = byId('play-view', HTMLDialogElement)
  const heading = byId('play-view-heading', HTMLElement)
  const body = byId('play-view-body', HTMLElement)
  /** @type {{ play: Play, fates: Fates } | undefined} */
  let shown
  let rendered = ''

  /** @param {boolean} isLoading */
  function render(isLoading) {
    if (!shown) return
    const { play, fates } = shown
    const fate = fates.of(play)
    const content = JSON.stringify([play, fate.explanation, fate.waterfall, isLoading])
    // Replacing unchanged content would lose the focus and the text selection.
    if (content === rendered) return
    rendered = content
    const { explanation, waterfall, trace } = fate
    body.replaceChildren(
      ...(explanation ? renderOutcome(explanation) : [element('p', {}, describeFate(play, fate).text)]),
      ...(waterfall ? [element('p', { class: 'waterfall-summary' }, waterfall.summary)] : []),
      ...(waterfall
        ? waterfall.sections.map(renderSection)
        : [renderAbsence(isLoading || waterfall === undefined, trace !== undefined)]),
      ...(trace && trace.missing.length > 0
        ? [element('p', { class: 'hint' }, `Incomplete: ${trace.missing.join(', ')} did not respond.`)]
        : []),
      renderIds(play, explanation?.kind === 'explained' ? explanation.view.position?.sequence : undefined),
    )
  }

  byId('play-view-close', HTMLButtonElement).addEventListener('click', () => dialog.close())
  let isPressOnBackdrop = false
  dialog.addEventListener('pointerdown', (event) => {
    isPressOnBackdrop = isOnBackdrop(event, dialog)
  })
  dialog.addEventListener('click', (event) => {
    // Ignore a text selection that ends on the backdrop. A link leads to another part of the page, so close the dialog.
    const isBackdropClick = isPressOnBackdrop && isOnBackdrop(event, dialog)
    if (isBackdropClick || event.target instanceof HTMLAnchorElement) dialog.close()
  })
  // Escape closes only the dialog, and not what is behind it.
  dialog.addEventListener('keydown', (event) => event.stopPropagation())
  dialog.addEventListener('close', () => {
    shown = undefined
    body.replaceChildren()
  })

  return {
    /**
     * @param {Play} play
     * @param {Fates} fates
     */
    async open(play, fates) {
      const opened = { play, fates }
      shown = opened
      rendered = ''
      const { assetId, userId, at } = play
      const time = timeOfDay.format(Date.parse(at))
      setText(heading, `${titleOf(assetId) ?? assetId}, played by ${userId} at ${time}`)
      render(true)
      if (!dialog.open) dialog.showModal()
      while (shown === opened) {
        // There is no trace until the response has arrived.
        if (play.status !== undefined) await fates.load(play)
        if (shown !== opened) return
        render(false)
        if (fates.of(play).waterfall !== undefined) return
        await sleep(RETRY_MS)
      }
    },
    /** The play in the dialog, and its tracker. */
    opened: () => shown,
    /** @param {Play} play a play that has changed, or whose fate has changed */
    update(play) {
      if (shown && keyOf(shown.play) === keyOf(play)) render(false)
    },
  }
}

/**
 * Events on the backdrop have the dialog as their target, but are outside its box.
 * @param {MouseEvent} event
 * @param {HTMLDialogElement} dialog
 */
function isOnBackdrop({ target, clientX, clientY }, dialog) {
  const { left, right, top, bottom } = dialog.getBoundingClientRect()
  return target === dialog && (clientX < left || clientX > right || clientY < top || clientY > bottom)
}

/**
 * @param {boolean} isLoading
 * @param {boolean} isPartial
 */
function renderAbsence(isLoading, isPartial) {
  const text = isLoading
    ? 'Collecting the spans from all services…'
    : isPartial
      ? "There is no waterfall: the play service's spans are missing. The service was restarted, or another instance served this page."
      : "There is no waterfall: this play's trace was not recorded, or has been replaced by newer traces. Each service keeps its last TRACES_KEPT traces."
  return element('p', { class: 'hint' }, text)
}

/**
 * The operations in a section, sorted by start time, each with a bar on the section's scale.
 * @param {Section} section
 */
function renderSection({ title, fromMs, toMs, rows }) {
  const head = ['Operation', 'Start', 'Duration', 'Timeline'].map((text) => element('th', { scope: 'col' }, text))
  const caption = element('caption', {}, title, element('span', { class: 'hint' }, ` ${formatMs(toMs - fromMs)}`))
  return element(
    'div',
    // A scrollable region must be reachable by keyboard.
    { class: 'waterfall', tabIndex: 0, role: 'group', ariaLabel: title },
    element(
      'table',
      {},
      caption,
      element('thead', {}, element('tr', {}, ...head)),
      element('tbody', {}, ...rows.map((row) => renderRow(row, fromMs, Math.max(toMs - fromMs, 0.001)))),
    ),
  )
}

/**
 * @param {Row} row
 * @param {number} fromMs
 * @param {number} rangeMs
 */
function renderRow(
  { service, name, depth, startMs, durationMs, detail, isFailed, isShared, isMarker },
  fromMs,
  rangeMs,
) {
  const bar = element('span', { class: 'bar' })
  bar.style.setProperty('--start', String((startMs - fromMs) / rangeMs))
  bar.style.setProperty('--length', String(durationMs / rangeMs))
  const remarks = [isFailed && 'failed', detail, isShared && 'shared with other plays'].filter(Boolean).join(', ')
  const operation = element(
    'th',
    { scope: 'row' },
    element('b', {}, service),
    ` ${name}`,
    remarks === '' ? undefined : element('span', { class: 'remarks' }, remarks),
  )
  operation.style.setProperty('--depth', String(depth))
  return element(
    'tr',
    { class: isMarker ? 'marker' : '', dataset: isFailed ? { state: 'down' } : {} },
    operation,
    element('td', {}, isMarker ? '' : `+${formatMs(startMs)}`),
    element('td', {}, isMarker ? '' : formatMs(durationMs)),
    element('td', { class: 'track', ariaHidden: 'true' }, isMarker ? '' : bar),
  )
}

/**
 * @param {Play} play
 * @param {number | undefined} sequence
 */
function renderIds({ traceId, requestId, viewId }, sequence) {
  /** @type {[string, string | null, string][]} */
  const rows = [
    ['view ID', viewId, 'Copy view ID'],
    ['log sequence', sequence === undefined ? null : String(sequence), 'Copy log sequence'],
    ['trace ID', traceId, 'Copy trace ID'],
    ['request ID', requestId || null, 'Copy request ID'],
    ['log lines', `grep ${traceId} play.log`, 'Copy command for log lines'],
    ['in a terminal', viewId && `npm run why -- ${viewId}`, 'Copy command for the terminal'],
  ]
  const items = rows.flatMap(([term, text, label]) => {
    if (text === null) return []
    const value = element('code', {}, text)
    const copyButton = createCopyButton(text, () => value, label)
    return [createEntry(term, value, copyButton)]
  })
  const why = viewId === null ? undefined : createWhyLink(viewId, 'Why is this view counted, or not?')
  return element('div', { class: 'ids' }, element('dl', {}, ...items), element('p', {}, why))
}
