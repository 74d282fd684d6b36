import { bearer } from '../bearer.js'
import { byId, element, setText, whileVisible } from '../dom.js'
import { fetchJson } from '../fetch-json.js'
import { poll } from '../poll.js'
import { createProcessRow } from './process-row.js'
import { createTasks } from './tasks.js'

/** @typedef {import('../../../shared/contracts/controls.ts').Controls} Controls */
/** @typedef {ReturnType<typeof createClient>} ControlsClient */

const POLL_MS = 1_000
const TIMEOUT_MS = 5_000

/**
 * The panel that kills, suspends and restarts the processes that `npm start` runs. The panel shows each process's state
 * as the operating system reports it, and the terminal command that is equivalent to a control.
 * @param {ReturnType<typeof import('./controls-token.js').createControlsToken>} token
 */
export function createControls(token) {
  const body = byId('controls-body', HTMLElement)
  const client = createClient(token.token)
  /** @type {ReturnType<typeof createPanel> | undefined} */
  let panel
  let stop = () => {}

  /** @param {Controls} controls */
  function show(controls) {
    if (controls.state === 'on') {
      panel ??= createPanel(body, client)
      return panel.show(controls)
    }
    panel = undefined
    stop()
    const text = controls.state === 'locked' ? `Locked. ${controls.reason}` : controls.reason
    body.replaceChildren(element('p', { class: 'controls-reason' }, text ?? ''))
  }

  const restart = whileVisible(() => {
    stop = poll(client.read, (controls) => (controls ? show(controls) : panel?.showUnreachable()), POLL_MS)
    return stop
  })
  token.onChange(restart)
}

/** @param {() => string | undefined} token */
function createClient(token) {
  return {
    /** @returns {Promise<Controls | undefined>} undefined while the edge is unreachable */
    read: () => fetchJson('/controls', { headers: bearer(token()), timeoutMs: TIMEOUT_MS }),
    /**
     * Invokes a control, such as `reporting/kill?seconds=10`.
     * @param {string} path
     * @returns {Promise<{ body?: any, error?: string }>}
     */
    async post(path) {
      try {
        const signal = AbortSignal.timeout(TIMEOUT_MS)
        const response = await fetch(`/controls/${path}`, { method: 'POST', headers: bearer(token()), signal })
        const body = await response.json()
        return response.ok ? { body } : { error: body.errors?.[0]?.message ?? body.status }
      } catch {
        return { error: 'the edge is unreachable' }
      }
    },
  }
}

/**
 * @param {HTMLElement} body
 * @param {ControlsClient} client
 */
function createPanel(body, client) {
  const select = element('select', { id: 'controls-seconds' })
  select.append(...DOWN_SECONDS.map((seconds) => element('option', { value: String(seconds) }, toDuration(seconds))))
  select.value = '10'
  const list = element('ul', { class: 'processes' })
  const outcome = element('p', { class: 'controls-outcome', role: 'status' })
  const command = element('code')
  const terminal = element('p', { class: 'controls-command', hidden: true }, 'In a terminal: ', command)
  /** @type {Map<string, ReturnType<typeof createProcessRow>>} */
  const rows = new Map()

  const reporter = {
    /** @param {string} text what a control did */
    say: (text) => setText(outcome, text),
    /** @param {string} text the equivalent terminal command */
    preview(text) {
      terminal.hidden = text === ''
      setText(command, text)
    },
  }
  const tasks = createTasks(client, reporter)

  body.replaceChildren(
    element(
      'div',
      { class: 'controls-options' },
      element('label', { htmlFor: select.id }, 'After a kill, keep the process down for'),
      select,
    ),
    list,
    tasks.node,
    outcome,
    terminal,
  )

  return {
    /** @param {Controls} controls */
    show({ processes, commands, can }) {
      for (const process of processes) {
        const existing = rows.get(process.name)
        const row =
          existing ?? createProcessRow(process.name, { client, reporter, seconds: () => Number(select.value) })
        if (!existing) {
          rows.set(process.name, row)
          list.append(row.node)
        }
        row.show(process)
      }
      tasks.show(commands, can)
    },
    showUnreachable() {
      for (const row of rows.values()) row.showUnknown()
    },
  }
}

const DOWN_SECONDS = [1, 10, 30, 60]

/** @param {number} seconds */
function toDuration(seconds) {
  return seconds === 1 ? '1 second, as after a crash' : `${seconds} seconds`
}
