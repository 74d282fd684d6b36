import { byId, element, setText } from '../dom.js'
import { watchExplanation } from './explain.js'
import { renderFacts, renderOutcome, viewIdInAddress } from './explanation.js'

/** @typedef {import('./explain.js').Explanation} Explanation */

const progressTexts = {
  final: '',
  polling: 'Checking until the view is counted…',
  stopped: 'No longer checking. Press Explain to check again.',
}

/**
 * The panel that explains what became of a view. Links to `#why=<view id>` open it.
 * @param {{ titleOf: (id: string) => string | undefined, token: import('../token.js').Token }} deps
 */
export function createWhy({ titleOf, token }) {
  const panel = byId('why', HTMLElement)
  const input = byId('view-id', HTMLInputElement)
  const outcome = byId('why-outcome', HTMLElement)
  const facts = byId('why-facts', HTMLElement)
  const progressText = byId('why-progress', HTMLElement)
  let stop = () => {}

  /**
   * @param {string | undefined} note
   * @param {Explanation} [explanation]
   */
  function render(note, explanation) {
    const notes = note === undefined ? [] : [element('p', { class: 'note' }, note)]
    outcome.replaceChildren(...notes, ...(explanation ? renderOutcome(explanation) : []))
    facts.replaceChildren(...(explanation ? renderFacts(explanation, titleOf) : []))
  }

  /**
   * @param {string} id
   * @param {string} [note] shown above the explanation
   */
  function explain(id, note) {
    let rendered = ''
    stop()
    input.value = id
    render(note)
    setText(progressText, 'Looking it up…')
    stop = watchExplanation(id, token, (explanation, progress) => {
      setText(progressText, progressTexts[progress])
      // Replacing unchanged content would blur a focused link and make screen readers announce the content again.
      if (JSON.stringify(explanation) === rendered) return
      const isFirst = rendered === ''
      rendered = JSON.stringify(explanation)
      render(note, explanation)
      if (isFirst) outcome.scrollIntoView({ block: 'nearest' })
    })
  }

  function followAddress() {
    const id = viewIdInAddress()
    if (id === undefined) return
    explain(id)
    panel.scrollIntoView({ block: 'nearest' })
    // Move the focus, because the link that was clicked may be in the content that is replaced.
    outcome.focus({ preventScroll: true })
  }

  byId('why-form', HTMLFormElement).addEventListener('submit', (event) => {
    event.preventDefault()
    explain(input.value.trim())
  })
  addEventListener('hashchange', followAddress)
  // A click on a link to the current address causes no `hashchange` event.
  document.addEventListener('click', ({ target }) => {
    if (target instanceof HTMLAnchorElement && target.hash && target.hash === location.hash) followAddress()
  })
  followAddress()

  return {
    explain,
    /** @param {string} note shown instead of an explanation */
    showNote(note) {
      stop()
      render(note)
      setText(progressText, '')
    },
  }
}
