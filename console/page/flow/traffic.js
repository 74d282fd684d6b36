import { nameOf } from '../component-name.js'
import { element, formatRoughMs } from '../dom.js'
import { labelPoint } from './lines.js'

/** @typedef {import('../../../shared/contracts/system-status.ts').Traffic} Traffic */
/** @typedef {Traffic['edges'][0]} LinkTraffic */
/** @typedef {import('./lines.js').Link} Link */

/** Maximum number of dots per line per second. */
const MAX_DOTS = 8
const DOT_MS = 700
const SECOND_MS = 1_000

const rates = new Intl.NumberFormat('en', { maximumSignificantDigits: 2, notation: 'compact' })
const percent = new Intl.NumberFormat('en', { style: 'percent' })

/**
 * The calls on the diagram's lines: a moving dot for each call, and a label with rate, duration and batch size. A line
 * without calls has no dots.
 * @param {HTMLElement} diagram
 * @param {readonly Link[]} links
 */
export function createTraffic(diagram, links) {
  const dots = element('div', { class: 'dots', ariaHidden: 'true' })
  const labelled = links.map((link) => ({ link, label: element('li', { hidden: true }) }))
  const labels = labelled.map(({ label }) => label)
  diagram.append(dots, element('ul', { class: 'links', ariaLabel: 'Calls' }, ...labels))
  let shownAt = ''

  return {
    /** @param {Traffic | undefined} traffic undefined if it is unknown */
    show(traffic) {
      const isNew = traffic !== undefined && traffic.at !== shownAt
      shownAt = traffic?.at ?? ''
      for (const { link, label } of labelled) {
        const isDrawn = !link.line.hasAttribute('hidden')
        const edge = traffic?.edges.find(({ from, to }) => isDrawn && from === link.from && to === link.to)
        link.line.toggleAttribute('data-active', Boolean(edge?.calls))
        showLabel(label, link, edge)
        placeLabel(label, link)
        if (edge && isNew) emit(dots, link, edge.calls)
      }
    },
    /** Moves the labels to their lines. */
    place() {
      for (const { link, label } of labelled) placeLabel(label, link)
    },
  }
}

/**
 * @param {HTMLLIElement} label
 * @param {Link} link
 */
function placeLabel(label, link) {
  if (label.hidden) return
  const { x, y, place } = labelPoint(link)
  label.dataset.place = place
  label.style.left = `${x}px`
  label.style.top = `${y}px`
}

/**
 * @param {HTMLLIElement} label
 * @param {Link} link
 * @param {LinkTraffic | undefined} traffic
 */
function showLabel(label, { from, to }, traffic) {
  const parts = traffic ? describe(traffic) : []
  const key = parts.join('|')
  if (label.dataset.parts === key) return
  label.dataset.parts = key
  label.hidden = parts.length === 0
  const route = element('span', { class: 'route visually-hidden' }, `${nameOf(from)} to ${nameOf(to)}: `)
  label.replaceChildren(route, ...parts.map((text) => element('span', {}, text)))
}

/**
 * @param {LinkTraffic} traffic
 * @returns {string[]} empty if there are no calls and no reads
 */
function describe({ rate, p99Ms, batch, cached }) {
  const calls = p99Ms === null ? `${rates.format(rate)}/s` : `${rates.format(rate)}/s · p99 ~${formatRoughMs(p99Ms)}`
  return [
    ...(rate > 0 ? [calls] : []),
    ...(batch !== undefined && batch >= 1.05 ? [`${rates.format(batch)} per batch`] : []),
    ...(cached === undefined ? [] : [`${percent.format(cached)} cached`]),
  ]
}

/**
 * Moves a dot along the line for each call in a second.
 * @param {HTMLElement} dots
 * @param {Link} link
 * @param {number} calls
 */
function emit(dots, { line }, calls) {
  if (matchMedia('(prefers-reduced-motion: reduce)').matches) return
  const count = Math.min(calls, MAX_DOTS)
  for (let n = 0; n < count; n += 1) {
    const dot = element('span')
    dot.style.offsetPath = `path("${line.getAttribute('d')}")`
    dots.append(dot)
    const frames = [
      { offsetDistance: '0%', opacity: 1 },
      { offsetDistance: '100%', opacity: 1 },
    ]
    dot
      .animate(frames, { duration: DOT_MS, delay: (n / count) * SECOND_MS })
      .addEventListener('finish', () => dot.remove())
  }
}
