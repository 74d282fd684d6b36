const SVG = 'http://www.w3.org/2000/svg'

/** @typedef {'left' | 'right' | 'top' | 'bottom' | 'corner'} Side `corner` is the left end of the bottom side */
/** @typedef {[from: string, to: string, start: Side, end: Side]} Line `start` and `end` are sides of `from` and `to` */
/**
 * @typedef {{ x: number, y: number, isHorizontal: boolean }} Point `isHorizontal` is the direction of the line there
 */

/**
 * All lines except those from play to its upstreams.
 * @type {Line[]}
 */
const LINES = [
  ['viewer', 'play', 'right', 'left'],
  ['play', 'events', 'bottom', 'top'],
  ['play', 'outbox', 'corner', 'right'],
  ['outbox', 'events', 'right', 'left'],
  ['events', 'queue-listener', 'right', 'left'],
  ['queue-listener', 'reporting', 'top', 'bottom'],
]

/**
 * Draws the lines between the components, and again whenever the layout changes.
 * @param {HTMLElement} diagram
 * @param {Map<string, HTMLElement>} components
 */
export function createLines(diagram, components) {
  const svg = diagram.querySelector('svg')
  /** @type {Line[]} */
  const toUpstreams = [...components].flatMap(([name, { dataset }]) =>
    'upstream' in dataset ? [['play', name, 'right', 'left']] : [],
  )
  const lines = [...LINES, ...toUpstreams].map((line) => {
    const paths = ['line', 'pulse'].map((name) => createPath(name, line))
    svg?.append(...paths)
    return { line, paths }
  })

  function draw() {
    const origin = diagram.getBoundingClientRect()
    for (const { line, paths } of lines) {
      const [from, to] = [components.get(line[0]), components.get(line[1])]
      if (from && to) for (const path of paths) drawLine(path, from, to, line, origin)
    }
  }

  new ResizeObserver(draw).observe(diagram)
  return { draw }
}

/**
 * @param {string} name
 * @param {Line} line
 */
function createPath(name, [from, to]) {
  const path = document.createElementNS(SVG, 'path')
  path.setAttribute('class', name)
  path.dataset.line = `${from} ${to}`
  return path
}

/**
 * @param {SVGPathElement} path
 * @param {HTMLElement} from
 * @param {HTMLElement} to
 * @param {Line} line
 * @param {DOMRect} origin
 */
function drawLine(path, from, to, [, , start, end], origin) {
  path.toggleAttribute('hidden', Boolean(from.hidden || to.hidden))
  path.toggleAttribute('data-busy', 'busy' in from.dataset || 'busy' in to.dataset)
  path.dataset.state = from.dataset.state === 'down' || to.dataset.state === 'down' ? 'down' : 'up'
  path.setAttribute('d', toCurve(toPoint(from, start, origin), toPoint(to, end, origin)))
}

/**
 * @param {HTMLElement} component
 * @param {Side} side
 * @param {DOMRect} origin
 * @returns {Point}
 */
function toPoint(component, side, origin) {
  const { left, right, top, bottom } = component.getBoundingClientRect()
  const isHorizontal = side === 'left' || side === 'right'
  const centre = (left + right) / 2
  const x = { left, right, top: centre, bottom: centre, corner: left + 16 }[side]
  const y = isHorizontal ? (top + bottom) / 2 : side === 'top' ? top : bottom
  return { x: x - origin.left, y: y - origin.top, isHorizontal }
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
