const SVG = 'http://www.w3.org/2000/svg'

/** @typedef {[from: string, to: string, out: Side, into: Side]} Way */

/**
 * From where to where, and which sides of the two the line leaves and reaches.
 * @typedef {'left' | 'right' | 'top' | 'bottom' | 'corner'} Side `corner` is the left end of the lower side
 * @type {Way[]}
 */
const WAYS = [
  ['viewer', 'play', 'right', 'left'],
  ['play', 'metadata', 'right', 'left'],
  ['play', 'cdnurl', 'right', 'left'],
  ['play', 'reporting', 'right', 'left'],
  ['play', 'events', 'bottom', 'top'],
  ['play', 'outbox', 'corner', 'right'],
  ['outbox', 'events', 'right', 'left'],
  ['events', 'queue-listener', 'right', 'left'],
  ['queue-listener', 'reporting', 'top', 'bottom'],
]

/**
 * Draws the lines between the parts, wherever the page's width has put these.
 * @param {HTMLElement} picture
 * @param {Map<string, HTMLElement>} parts
 */
export function createLines(picture, parts) {
  const svg = picture.querySelector('svg')
  const lines = WAYS.map((way) => {
    const paths = ['line', 'pulse'].map((name) => createPath(name, way))
    svg?.append(...paths)
    return { way, paths }
  })

  function draw() {
    const origin = picture.getBoundingClientRect()
    for (const { way, paths } of lines) {
      const [one, other] = [parts.get(way[0]), parts.get(way[1])]
      if (one && other) for (const path of paths) drawWay(path, one, other, way, origin)
    }
  }

  new ResizeObserver(draw).observe(picture)
  return { draw }
}

/**
 * @param {string} name
 * @param {Way} way
 */
function createPath(name, [from, to]) {
  const path = document.createElementNS(SVG, 'path')
  path.setAttribute('class', name)
  path.dataset.way = `${from} ${to}`
  return path
}

/**
 * @param {SVGPathElement} path
 * @param {HTMLElement} one
 * @param {HTMLElement} other
 * @param {Way} way
 * @param {DOMRect} origin
 */
function drawWay(path, one, other, [, , out, into], origin) {
  const ends = [one, other]
  path.toggleAttribute(
    'hidden',
    ends.some(({ hidden }) => hidden),
  )
  path.toggleAttribute(
    'data-busy',
    ends.some((end) => end.hasAttribute('data-busy')),
  )
  path.dataset.state = ends.some(({ dataset }) => dataset.state === 'down') ? 'down' : 'up'
  path.setAttribute('d', curve(pointAt(one, out, origin), pointAt(other, into, origin)))
}

/** @typedef {{ x: number, y: number, isLevel: boolean }} Point `isLevel` where a line leaves it to the left or right */

/**
 * @param {HTMLElement} part
 * @param {Side} side
 * @param {DOMRect} origin
 * @returns {Point}
 */
function pointAt(part, side, origin) {
  const { left, right, top, bottom } = part.getBoundingClientRect()
  const isLevel = side === 'left' || side === 'right'
  const x = { left, right, top: (left + right) / 2, bottom: (left + right) / 2, corner: left + 16 }[side]
  const y = isLevel ? (top + bottom) / 2 : side === 'top' ? top : bottom
  return { x: x - origin.left, y: y - origin.top, isLevel }
}

/**
 * @param {Point} from
 * @param {Point} to
 */
function curve(from, to) {
  const [x, y] = [(from.x + to.x) / 2, (from.y + to.y) / 2]
  const one = from.isLevel ? `${to.isLevel ? x : to.x} ${from.y}` : `${from.x} ${y}`
  const other = to.isLevel ? `${x} ${to.y}` : `${to.x} ${from.isLevel ? from.y : y}`
  return `M${from.x} ${from.y}C${one} ${other} ${to.x} ${to.y}`
}
