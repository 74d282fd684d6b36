import { describeCounting } from '../counts/live.js'
import { byId, element, setText } from '../dom.js'
import { createLines } from './lines.js'
import { createTraffic } from './traffic.js'

/** @typedef {import('../../../shared/contracts/system-status.ts').SystemStatus} SystemStatus */
/** @typedef {SystemStatus['parts'][string]} ComponentStatus */

/** How long the diagram marks the components that were degraded in the last play. */
const DEGRADED_MS = 5_000

/**
 * The diagram of a play request, with the state of each service and data store.
 * @param {{ onCatalogueChange: () => void }} deps `onCatalogueChange` is called when assets may have changed
 */
export function createFlow({ onCatalogueChange }) {
  const diagram = byId('diagram', HTMLElement)
  /** @type {Map<string, HTMLElement>} */
  const components = new Map([...diagram.querySelectorAll('li')].map((li) => [li.dataset.component ?? '', li]))
  const upstreams = diagram.querySelectorAll('[data-upstream]')
  diagram.style.setProperty('--upstreams', String(upstreams.length))
  const lines = createLines(diagram, components, { onDraw: () => traffic.place() })
  const traffic = createTraffic(diagram, lines.links)
  /** @type {string[]} */
  let down = []
  /** @type {string[]} */
  let degradedNow = []
  /** @type {string[]} */
  let degradedInLastPlay = []
  let timer = 0
  /** @type {number | undefined} */
  let changes

  function markDegraded() {
    for (const [name, component] of components) {
      component.toggleAttribute('data-degraded', degradedNow.includes(name) || degradedInLastPlay.includes(name))
    }
  }

  return {
    /** @param {SystemStatus | undefined} status undefined while the edge is unreachable */
    show(status) {
      for (const [name, component] of components) {
        if (name !== 'viewer') showComponent(component, status ? status.parts[name] : withoutEdge(name))
        if (name === 'play') showProcesses(component, status?.traffic?.processes ?? 1)
      }
      const previous = down
      down = [...components].flatMap(([name, { dataset }]) =>
        isDown(dataset.state, previous.includes(name)) ? [name] : [],
      )
      const failed = down.filter((name) => !previous.includes(name))
      const recovered = previous.filter((name) => !down.includes(name))
      announce(failed, recovered)
      degradedNow = status?.degraded ?? []
      markDegraded()
      lines.draw()
      traffic.show(status?.traffic)
      // A recovered service may have different assets. If its circuit breaker is open, loading the assets also probes
      // the service.
      const isChanged = status && changes !== undefined && changes !== status.changes
      if (recovered.length > 0 || isChanged) onCatalogueChange()
      changes = status?.changes ?? changes
    },
    /** @param {string[]} names the components that were degraded in the last play */
    showDegraded(names) {
      clearTimeout(timer)
      degradedInLastPlay = names
      markDegraded()
      timer = setTimeout(() => {
        degradedInLastPlay = []
        markDegraded()
      }, DEGRADED_MS)
    },
  }
}

/**
 * A service that was down still counts as down while its state is unknown, because it may not have recovered.
 * @param {string | undefined} state
 * @param {boolean} wasDown
 */
function isDown(state, wasDown) {
  return state === 'down' || (state === 'unknown' && wasDown)
}

/**
 * While the edge is unreachable, the state of everything behind it is unknown.
 * @param {string} name
 * @returns {ComponentStatus}
 */
function withoutEdge(name) {
  return { state: name === 'play' ? 'down' : 'unknown' }
}

/**
 * @param {HTMLElement} component
 * @param {ComponentStatus | undefined} status undefined if the component does not exist, such as the outbox in embedded
 * mode
 */
function showComponent(component, status) {
  component.hidden = !status
  if (!status) return
  const isBusy = Boolean(status.waiting)
  component.dataset.state = status.state === 'up' && isBusy ? 'busy' : status.state
  component.toggleAttribute('data-busy', isBusy)
  setText(component.querySelector('.state') ?? component, toText(status))
  showInstances(component, status)
}

/**
 * Lists a service's instances if it has more than one.
 * @param {HTMLElement} component
 * @param {ComponentStatus} status
 */
function showInstances(component, { instances = [] }) {
  const existing = component.querySelector('.instances')
  if (instances.length === 0) return existing?.remove()
  const items = instances.map(({ url, state }) =>
    element('li', { dataset: { state } }, element('span', { class: 'state' }, state), ` ${new URL(url).host}`),
  )
  const list = existing ?? component.appendChild(element('ul', { class: 'instances' }))
  list.replaceChildren(...items)
}

/**
 * @param {HTMLElement} component
 * @param {number} processes how many processes share the edge's port
 */
function showProcesses(component, processes) {
  const existing = component.querySelector('.process-count')
  if (processes < 2) return existing?.remove()
  const text = existing ?? component.appendChild(element('span', { class: 'process-count' }))
  setText(text, `${processes} processes`)
}

/** @param {ComponentStatus} status */
function toText({ state, circuit, waiting, stalled, counting, instances = [] }) {
  if (state === 'down' || state === 'unknown') return state
  if (stalled) return `stalled, ${waiting} pending`
  if (counting && counting.state !== 'current') return describeCounting(counting)
  if (waiting) return `${waiting} pending`
  if (circuit && circuit !== 'closed') return `${state}, circuit ${circuit}`
  if (state === 'up') return state
  const up = instances.filter((instance) => instance.state === 'up').length
  return instances.length > 0 ? `${up} of ${instances.length} up` : 'not ready'
}

/**
 * Announces state transitions to screen readers.
 * @param {string[]} failed
 * @param {string[]} recovered
 */
function announce(failed, recovered) {
  const transitions = [...failed.map((name) => `${name} is down`), ...recovered.map((name) => `${name} is back up`)]
  if (transitions.length > 0) setText(byId('announcement', HTMLElement), transitions.join(', '))
}
