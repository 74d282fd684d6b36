import { element, setText } from './dom.js'

const SHOWN_MS = 1_500

/**
 * @param {string} text
 * @param {(button: HTMLButtonElement) => Node | null | undefined} shownIn the element that shows the text
 * @param {string} [label]
 */
export function createCopyButton(text, shownIn, label = 'Copy') {
  const button = element('button', { type: 'button', class: 'secondary', onclick: copy }, 'Copy')
  if (label !== 'Copy') button.ariaLabel = label
  async function copy() {
    const copied = await navigator.clipboard?.writeText(text).then(
      () => true,
      () => false,
    )
    // Without clipboard access, select the text so that Ctrl+C copies it.
    const shown = shownIn(button)
    if (!copied && shown) getSelection()?.selectAllChildren(shown)
    setText(button, copied ? 'Copied' : 'Selected')
    setTimeout(() => setText(button, 'Copy'), SHOWN_MS)
  }
  return button
}
