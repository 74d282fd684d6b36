import { element, setText } from '../dom.js'
import { createControlButton } from './control-button.js'

/** @typedef {import('../../../shared/contracts/controls.ts').Controls} Controls */

/**
 * The controls that do not belong to a process: seed, simulate, append a poison message, and expire a URL.
 * @param {import('./controls.js').ControlsClient} client
 * @param {import('./control-button.js').Reporter} reporter
 */
export function createTasks(client, reporter) {
  const rate = createNumber('controls-rate', 20, 200)
  const seconds = createNumber('controls-duration', 30, 300)
  const seed = createControlButton('Seed', {
    reporter,
    command: () => 'npm run seed',
    async run() {
      const { error } = await client.post('seed')
      reporter.say(error ?? 'Running npm run seed to add the films…')
    },
  })
  const simulate = createControlButton('Simulate', {
    reporter,
    command: () => `npm run simulate -- --rate ${rate.value} --views ${Number(rate.value) * Number(seconds.value)}`,
    async run() {
      // A poll may change `isSimulating` before the response arrives.
      const isStop = isSimulating
      const path = isStop ? 'simulate/stop' : `simulate?rate=${rate.value}&seconds=${seconds.value}`
      const { error } = await client.post(path)
      reporter.say(error ?? (isStop ? 'Stopping…' : `${rate.value} plays per second, for ${seconds.value} s…`))
    },
  })
  const poison = createControlButton('Append a poison message', {
    reporter,
    command: () => `nats pub events.view.poison '{"id":"broken"}'`,
    async run() {
      const { body, error } = await client.post('poison')
      if (error !== undefined) return reporter.say(error)
      reporter.preview(`npm run dead-letters -- show ${body.sequence}   # and: delete ${body.sequence}`)
      reporter.say(
        `Message ${body.sequence} in the log is not a batch of views. It becomes a dead letter, and does not delay any view.`,
      )
    },
  })
  const expire = createControlButton('Expire a URL', {
    reporter,
    command: () => "curl -I 'URL'",
    async run() {
      const { body, error } = await client.post('expire')
      if (error !== undefined) return reporter.say(error)
      reporter.preview(body.command)
      reporter.say(
        `The CDN returns ${body.statusBefore} for a signed URL, and ${body.status} once the URL has expired.`,
      )
    },
  })
  const seedLine = element('span', { class: 'role' })
  const simulateLine = element('span', { class: 'role' })
  let isSimulating = false

  return {
    node: element(
      'div',
      { class: 'tasks' },
      element('div', { class: 'task' }, seed, seedLine),
      element(
        'div',
        { class: 'task' },
        simulate,
        rate,
        element('label', { htmlFor: rate.id }, 'plays per second, for'),
        seconds,
        element('label', { htmlFor: seconds.id }, 'seconds'),
        simulateLine,
      ),
      element('div', { class: 'task' }, poison, expire),
    ),
    /**
     * @param {Controls['commands']} commands
     * @param {string[]} can
     */
    show({ seed: seeding, simulate: simulating }, can) {
      isSimulating = simulating?.state === 'running'
      // Set `aria-disabled` instead of `disabled`, because a disabled button loses the focus.
      seed.ariaDisabled = String(seeding?.state === 'running')
      setText(simulate, isSimulating ? 'Stop' : 'Simulate')
      poison.hidden = !can.includes('poison')
      expire.hidden = !can.includes('expire')
      setText(seedLine, seeding && seeding.state !== 'idle' ? seeding.line : '')
      setText(simulateLine, toLine(simulating))
    },
  }
}

/** @param {Controls['commands'][string] | undefined} command */
function toLine(command) {
  if (!command || command.state === 'idle') return ''
  if (command.state === 'running') return command.line || 'running…'
  return command.state === 'failed' ? `failed: ${command.line}` : 'done'
}

/**
 * @param {string} id
 * @param {number} value
 * @param {number} max
 */
function createNumber(id, value, max) {
  return element('input', { id, type: 'number', min: '1', max: String(max), value: String(value), autocomplete: 'off' })
}
