import { element } from '../dom.js'

/** @typedef {{ say: (text: string) => void, preview: (command: string) => void }} Reporter */

/**
 * A button for a control. It shows the equivalent terminal command, and ignores further presses while it runs.
 * @param {string} text
 * @param {{ reporter: Reporter, command: () => string, run: () => Promise<void> }} control
 */
export function createControlButton(text, { reporter, command, run }) {
  const button = element('button', { type: 'button', class: 'secondary' }, text)
  const preview = () => reporter.preview(command())
  button.addEventListener('pointerenter', preview)
  button.addEventListener('focus', preview)
  button.addEventListener('click', async () => {
    if (button.ariaDisabled === 'true') return
    button.ariaBusy = 'true'
    preview()
    await run()
    button.ariaBusy = null
  })
  return button
}
