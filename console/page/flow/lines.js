import { svg } from '../svg.js'

/**
 * A point on a side of a component. `share`: its distance from the left or top end, as a fraction of the side.
 * @typedef {[side: 'left' | 'right' | 'top' | 'bottom', share: number]} Port
 */
/** @typedef {[from: string, to: string, start: Port, end: Port]} Line `start` is a port of `from`, and `end` of `to` */
/** @typedef {{ x: number, y: number, isHorizontal: boolean }} Point `isHorizontal`: the line is horizontal here */
/** @typedef {{ from: string, to: string, start: Port, line: SVGPathElement }} Link */

/** How far an arrowhead extends beyond the end of its line. */
const HEAD = 7
/** The position of the label on a line from play, as a fraction. Past the middle, because these lines diverge. */
const LABEL_AT = 0.62

/**
 * All lines except those from play to its upstreams. The outbox is between play and the log.
 * @type {Line[]}
 */
const LINES = [
  ['viewer', 'play', ['right', 0.5], ['left', 0.5]],
  ['play', 'events', ['bottom', 0.84], ['top', 0.84]],
  ['play', 'outbox', ['bottom', 0.32], ['top', 0.5]],
  ['outbox', 'events', ['bottom', 0.5], ['top', 0.32]],
  ['events', 'queue-listener', ['right', 0.5], ['left', 0.5]],
  ['queue-listener', 'reporting', ['top', 0.5], ['bottom', 0.5]],
]

/**
 * Draws the lines between the components, and redraws them whenever the layout changes.
 * @param {HTMLElement} diagram
 * @param {Map<string, HTMLElement>} components
 * @param {{ onDraw: () => void }} deps
 */
export function createLines(diagram, components, { onDraw }) {
  const root = diagram.querySelector('svg')
  /** @type {Line[]} */
  const toUpstreams = [...components].flatMap(([name, { dataset }]) =>
    'upstream' in dataset ? [['play', name, ['right', 0.5], ['left', 0.5]]] : [],
  )
  const lines = [...LINES, ...toUpstreams].map((line) => {
    const attributes = { 'data-line': `${line[0]} ${line[1]}` }
    const paths = {
      line: svg('path', { class: 'line', ...attributes }),
      head: svg('path', { class: 'head', ...attributes }),
    }
    root?.append(paths.line, paths.head)
    return { ports: line, paths }
  })

  function draw() {
    const origin = diagram.getBoundingClientRect()
    for (const { ports, paths } of lines) {
      const [from, to] = [components.get(ports[0]), components.get(ports[1])]
      if (from && to) drawLine(paths, from, to, ports, origin)
    }
    onDraw()
  }

  new ResizeObserver(draw).observe(diagram)
  return {
    draw,
    /** @type {Link[]} */
    links: lines.map(({ ports: [from, to, start], paths: { line } }) => ({ from, to, start, line })),
  }
}

/**
 * Returns where to place a line's label, in the diagram's coordinates: beside a vertical line, above a horizontal line,
 * and otherwise on the line.
 * @param {Link} edge
 */
export function labelPoint({ from, start: [, share], line }) {
  const length = line.getTotalLength()
  const [start, end] = [line.getPointAtLength(0), line.getPointAtLength(length)]
  const isVertical = Math.abs(end.x - start.x) < 10
  const isHorizontal = Math.abs(end.y - start.y) < 10
  const { x, y } = line.getPointAtLength(length * (from === 'play' && !isVertical ? LABEL_AT : 0.5))
  if (isVertical) return { x, y, place: share > 0.5 ? 'right' : 'left' }
  return { x, y, place: isHorizontal ? 'above' : 'on' }
}

/**
 * @param {{ line: SVGPathElement, head: SVGPathElement }} paths
 * @param {HTMLElement} from
 * @param {HTMLElement} to
 * @param {Line} ports
 * @param {DOMRect} origin
 */
function drawLine({ line, head }, from, to, [, , start, end], origin) {
  const tip = toPoint(to, end, origin)
  for (const path of [line, head]) {
    path.toggleAttribute('hidden', Boolean(from.hidden || to.hidden))
    path.dataset.state = from.dataset.state === 'down' || to.dataset.state === 'down' ? 'down' : 'up'
  }
  line.setAttribute('d', toCurve(toPoint(from, start, origin), before(tip, end)))
  head.setAttribute('d', toHead(tip, end))
}

/**
 * @param {HTMLElement} component
 * @param {Port} port
 * @param {DOMRect} origin
 * @returns {Point}
 */
function toPoint(component, [side, share], origin) {
  const { left, right, top, bottom } = component.getBoundingClientRect()
  const isHorizontal = side === 'left' || side === 'right'
  const x = isHorizontal ? (side === 'left' ? left : right) : left + share * (right - left)
  const y = isHorizontal ? top + share * (bottom - top) : side === 'top' ? top : bottom
  return { x: x - origin.left, y: y - origin.top, isHorizontal }
}

/**
 * The point where the arrowhead starts.
 * @param {Point} tip
 * @param {Port} port
 * @returns {Point}
 */
function before({ x, y, isHorizontal }, [side]) {
  const outward = side === 'left' || side === 'top' ? -HEAD : HEAD
  return isHorizontal ? { x: x + outward, y, isHorizontal } : { x, y: y + outward, isHorizontal }
}

/**
 * @param {Point} tip
 * @param {Port} port
 */
function toHead(tip, port) {
  const { x, y } = before(tip, port)
  const [across, along] = tip.isHorizontal ? [0, HEAD / 1.6] : [HEAD / 1.6, 0]
  return `M${tip.x} ${tip.y}L${x - across} ${y - along}L${x + across} ${y + along}Z`
}

/**
 * A cubic Bézier curve that is perpendicular to the component side at both ends.
 * @param {Point} from
 * @param {Point} to
 */
function toCurve(from, to) {
  const [x, y] = [(from.x + to.x) / 2, (from.y + to.y) / 2]
  const startControl = from.isHorizontal ? `${to.isHorizontal ? x : to.x} ${from.y}` : `${from.x} ${y}`
  const endControl = to.isHorizontal ? `${x} ${to.y}` : `${to.x} ${from.isHorizontal ? from.y : y}`
  return `M${from.x} ${from.y}C${startControl} ${endControl} ${to.x} ${to.y}`
}
