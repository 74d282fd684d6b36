import { createEntry, element, setText } from '../dom.js'
import { processesOf } from './runner.js'

/** @typedef {import('./runner.js').Result} Result */
/** @typedef {import('./runner.js').Bar} Bar */

/**
 * The card for a step, with its stages: predict, break, watch, verdict.
 * @param {import('./runner.js').Step<unknown>} step
 * @param {{
 *   number: number, of: number, result: Result | undefined, isLast: boolean,
 *   onRun: () => void, onNext: () => void,
 * }} options
 */
export function createStepCard(step, { number, of, result, isLast, onRun, onNext }) {
  const answer = element('div', { class: 'answer', role: 'status' })
  const availability = element('p', { class: 'unavailable', hidden: true })
  const button = element('button', { type: 'button', class: 'primary', disabled: true }, step.action)
  const hint = element('p', { class: 'hint' }, 'Make a prediction first.')
  const notes = element('ol', { class: 'notes' })
  const verdict = element('div', { class: 'verdict', role: 'status', tabIndex: -1 })
  const command = element('code')
  const next = element('button', { type: 'button', class: 'primary', hidden: true, onclick: onNext }, 'Next step')
  let startedAt = 0
  let isAvailable = true
  let isPredicted = false

  const enable = () => {
    button.disabled = !isPredicted || !isAvailable
    hint.hidden = isPredicted || !isAvailable
  }

  const options = step.predict.options.map((option, index) => {
    const input = element('input', { type: 'radio', name: 'prediction', value: String(index), autocomplete: 'off' })
    const label = element('label', { class: 'option' }, input, element('span', {}, option.text))
    input.addEventListener('change', () => {
      for (const each of options) each.removeAttribute('data-chosen')
      label.dataset.chosen = option.isRight ? 'right' : 'wrong'
      answer.replaceChildren(
        element('p', {}, element('b', {}, option.isRight ? 'Right. ' : 'Not quite. '), option.reason),
      )
      answer.dataset.state = option.isRight ? 'up' : 'degraded'
      isPredicted = true
      enable()
    })
    return label
  })

  button.addEventListener('click', () => {
    startedAt = performance.now()
    button.disabled = true
    setText(button, 'Running…')
    notes.replaceChildren()
    verdict.replaceChildren()
    next.hidden = true
    onRun()
  })

  /** @param {Result} shown */
  function renderResult(shown) {
    verdict.dataset.state = { passed: 'up', failed: 'down', skipped: 'degraded' }[shown.outcome]
    verdict.replaceChildren(...toVerdict(shown))
    setText(button, 'Run it again')
    next.hidden = isLast
  }

  const nodes = [
    element('p', { class: 'step-count' }, `Step ${number} of ${of} · about ${step.minutes}`),
    element('h2', {}, step.title),
    ...step.intro.map((text) => element('p', { class: 'intro' }, text)),
    stage('Predict', element('fieldset', {}, element('legend', {}, step.predict.question), ...options), answer),
    stage(
      'Break',
      availability,
      element('div', { class: 'actions' }, button, hint),
      step.command === undefined ? undefined : element('p', { class: 'command' }, 'In a terminal: ', command),
    ),
    stage('Watch', element('div', { role: 'log', ariaLabel: 'What happens' }, notes)),
    stage('Verdict', verdict, next),
  ]
  if (result) renderResult(result)

  return {
    nodes,
    /** @param {string} text what has just happened */
    note(text) {
      const seconds = ((performance.now() - startedAt) / 1_000).toFixed(1)
      notes.append(element('li', {}, element('time', {}, `${seconds} s`), element('span', {}, text)))
    },
    /** @param {Result} shown */
    showResult(shown) {
      renderResult(shown)
      enable()
      verdict.focus({ preventScroll: true })
      verdict.scrollIntoView({ block: 'nearest' })
    },
    /**
     * @param {string | undefined} reason why the step cannot run here; undefined if it can
     * @param {{ name: string, pid: number | null }[]} processes
     */
    showAvailability(reason, processes) {
      setText(command, toCommand(step.command ?? '', processes))
      isAvailable = reason === undefined
      availability.hidden = isAvailable
      setText(availability, reason === undefined ? '' : `This step is skipped here. ${reason}`)
      if (!isAvailable) next.hidden = isLast
      enable()
    },
  }
}

/**
 * The command with this edge's address and the pids of its processes.
 * @param {string} command
 * @param {{ name: string, pid: number | null }[]} processes
 */
function toCommand(command, processes) {
  return command.replace(/\{(\w+)\}/g, (_, name) => {
    if (name === 'edge') return location.host
    const pids = processesOf(processes, name).map(({ pid }) => pid)
    return pids.length > 0 ? pids.join(' ') : `PID of ${name}`
  })
}

/**
 * @param {string} name
 * @param {(Node | undefined)[]} children
 */
function stage(name, ...children) {
  return element('section', { class: 'stage' }, element('h3', {}, name), element('div', {}, ...children))
}

/** @param {Result} result */
function toVerdict({ outcome, sentence, facts, bars = [] }) {
  const word = { passed: 'Passed', failed: 'Failed', skipped: 'Skipped' }[outcome]
  const terms = facts.map(([label, value]) => createEntry(label, value))
  return [
    element(
      'p',
      { class: 'outcome' },
      element('span', { class: 'state-icon', ariaHidden: 'true' }),
      element('b', {}, `${word}.`),
      ` ${sentence}`,
    ),
    ...(bars.length > 0 ? [element('div', { class: 'bars' }, ...bars.map(toBar))] : []),
    ...(terms.length > 0 ? [element('dl', { class: 'facts' }, ...terms)] : []),
  ]
}

/** @param {Bar} bar */
function toBar({ label, value, of }) {
  const meter = element('meter', { min: 0, max: of, value, low: of - 0.5, high: of, optimum: of, ariaLabel: label })
  const drift = value - of
  const text = drift === 0 ? `${value} of ${of}` : `${value} of ${of}, drift ${drift > 0 ? '+' : '−'}${Math.abs(drift)}`
  return element('div', { class: 'bar' }, element('span', {}, label), meter, element('b', {}, text))
}
