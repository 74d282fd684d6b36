import { element, setText } from '../dom.js'
import { timeOfDay } from '../format-time.js'
import { createControlButton } from './control-button.js'

/** @typedef {import('../../../shared/contracts/controls.ts').ControlledProcess} ControlledProcess */
/** @typedef {import('./control-button.js').Reporter} Reporter */

const STATES = { running: 'up', hung: 'degraded', down: 'down' }

/**
 * The row for a process, with its state and controls.
 * @param {string} name
 * @param {{ client: import('./controls.js').ControlsClient, reporter: Reporter, seconds: () => number }} deps `seconds`:
 * how long a killed process stays down
 */
export function createProcessRow(name, { client, reporter, seconds }) {
  const state = element('span', { class: 'state' })
  const detail = element('span', { class: 'role' })
  /** @type {ControlledProcess | undefined} */
  let current

  const pid = () => String(current?.pid ?? 'PID')
  const kill = createButton(
    'Kill',
    () => `kill -9 ${pid()}`,
    () => `kill?seconds=${seconds()}`,
  )
  const hang = createButton(
    'Hang',
    () => `kill ${isHung() ? '-CONT' : '-STOP'} ${pid()}`,
    () => (isHung() ? 'continue' : 'hang'),
  )
  const restart = createButton(
    'Restart',
    () => `kill ${pid()}`,
    () => 'restart',
  )
  const isHung = () => current?.state === 'hung'

  /**
   * @param {string} text
   * @param {() => string} command
   * @param {() => string} action
   */
  function createButton(text, command, action) {
    async function run() {
      const path = action()
      const [verb = ''] = path.split('?')
      reporter.say(`${name}: ${verb}…`)
      const { body, error } = await client.post(`${name}/${path}`)
      if (body?.process) show(body.process)
      reporter.say(
        error === undefined
          ? `${name}: ${verb} done. The process is now ${body.process?.state ?? 'stopping'}.`
          : `${name}: ${error}`,
      )
    }
    const button = createControlButton(text, { reporter, command, run })
    button.ariaLabel = `${text} ${name}`
    return button
  }

  const node = element(
    'li',
    { class: 'process' },
    element('b', {}, name),
    state,
    detail,
    element('div', { class: 'process-actions' }, kill, hang, restart),
  )

  /** @param {ControlledProcess} process */
  function show(process) {
    current = process
    node.dataset.state = STATES[process.state]
    setText(state, process.state)
    setText(detail, toDetail(process))
    // Set `aria-disabled` instead of `disabled`, because a disabled button loses the focus.
    kill.ariaDisabled = String(process.state === 'down')
    hang.ariaDisabled = String(process.state === 'down')
    hang.hidden = !process.actions.includes('hang')
    setText(hang, process.state === 'hung' ? 'Continue' : 'Hang')
    hang.ariaLabel = `${hang.textContent} ${name}`
    setText(restart, process.state === 'down' ? 'Start' : 'Restart')
    restart.ariaLabel = `${restart.textContent} ${name}`
  }

  return {
    node,
    show,
    /** Call this while the edge is unreachable, because the state of the processes is then unknown. */
    showUnknown() {
      node.dataset.state = 'unknown'
      setText(state, 'unknown')
      setText(detail, 'the edge is unreachable')
    },
  }
}

/** @param {ControlledProcess} process */
function toDetail({ pid, starts, lastExit, until, state }) {
  const ends = until === null ? '' : ` until ${timeOfDay.format(Date.parse(until))}`
  if (state === 'down') return `down${ends}, last exit: ${lastExit ?? 'unknown'}`
  const restarts = starts > 1 ? `, started ${starts} times` : ''
  return `pid ${pid}${state === 'hung' ? `, suspended${ends}` : restarts}`
}
