import { createControlsToken } from '../controls/controls-token.js'
import { byId, element, setText, whileVisible } from '../dom.js'
import { poll } from '../poll.js'
import { pollStatus, showOverall } from '../status.js'
import { createDriver } from './driver.js'
import { showIdentity } from './identity.js'
import { runStep, whyUnavailable } from './runner.js'
import { createStepCard } from './step-card.js'
import { steps } from './steps.js'
import { createTurns } from './turns.js'

/** Each outage lasts long enough for the user to watch it. */
const OUTAGE_SECONDS = 5
const IDENTITY_MS = 500
const CHECK_MS = 2_000

/** @typedef {import('./runner.js').Result} Result */

const token = createControlsToken()
const list = byId('steps', HTMLElement)
const card = byId('step', HTMLElement)

/** @type {Map<string, Result>} */
const results = new Map()
let current = 0
let isRunning = false
/** False while something is missing that may appear later, such as the edge or its controls. */
let isAvailable = true
/** Checks whether the current step can run here. */
let check = async () => {}
/** @type {(text: string) => void} */
let onNote = () => {}

const driver = createDriver({
  edge: '',
  token: () => token.token(),
  outageSeconds: OUTAGE_SECONDS,
  onNote: (text) => onNote(text),
})
const turns = createTurns(driver, (text) => onNote(text))

/** @param {number} index */
function show(index) {
  if (isRunning) return
  current = Math.min(Math.max(index, 0), steps.length - 1)
  const step = steps[current]
  if (!step) return
  renderList()
  const stepCard = createStepCard(step, {
    number: current + 1,
    of: steps.length,
    result: results.get(step.id),
    isLast: current === steps.length - 1,
    onRun: run,
    onNext() {
      show(current + 1)
      // Move the focus, because the button that had it is gone.
      card.focus({ preventScroll: true })
      card.scrollIntoView()
    },
  })
  onNote = stepCard.note
  card.replaceChildren(...stepCard.nodes)
  card.ariaLabel = `Step ${current + 1} of ${steps.length}: ${step.title}`
  check = async () => {
    const controls = await driver.controls()
    showControls(controls)
    if (isRunning || step !== steps[current]) return
    const reason = whyUnavailable(step, controls)
    isAvailable = reason === undefined && controls.state === 'on'
    stepCard.showAvailability(reason, controls.processes)
  }
  void check()

  async function run() {
    if (isRunning || !step) return
    isRunning = true
    renderList()
    const result = await turns.run(step.id, () => runStep(step, driver))
    isRunning = false
    results.set(step.id, result)
    renderList()
    stepCard.showResult(result)
    void check()
  }
}

function renderList() {
  const items = steps.map((step, index) => {
    const outcome = results.get(step.id)?.outcome
    const isCurrent = index === current
    const state = isRunning && isCurrent ? 'running' : (outcome ?? 'open')
    const button = element(
      'button',
      { type: 'button', disabled: isRunning && !isCurrent, onclick: () => show(index) },
      element('span', { class: 'step-number', ariaHidden: 'true' }, MARKS[state] ?? String(index + 1)),
      element('span', { class: 'step-title' }, step.title),
      element('span', { class: 'step-state' }, state === 'open' ? step.minutes : state),
    )
    if (isCurrent) button.ariaCurrent = 'step'
    return element('li', { dataset: { outcome: state } }, button)
  })
  const focused = document.activeElement
  const index = [...list.children].findIndex((item) => item.contains(focused))
  list.replaceChildren(...items)
  if (index >= 0) list.querySelectorAll('button')[index]?.focus()
}

/** @type {Record<string, string>} */
const MARKS = { passed: '✓', failed: '✕', skipped: '–', running: '…' }

/** @param {Awaited<ReturnType<typeof driver.controls>>} controls */
function showControls({ state, reason }) {
  const text = state === 'on' ? 'Each step restores what it breaks, even if the step fails.' : (reason ?? '')
  setText(byId('tour-note', HTMLElement), text)
}

addEventListener('pagehide', () => void turns.release())
token.onChange(() => show(current))
whileVisible(() => pollStatus({ onResponse() {}, onStatus: showOverall }))
whileVisible(() => poll(driver.ledger.refresh, () => showIdentity(driver.ledger.sum()), IDENTITY_MS))
whileVisible(() => {
  const timer = setInterval(() => {
    if (!isAvailable && !isRunning) void check()
  }, CHECK_MS)
  return () => clearInterval(timer)
})
show(0)
