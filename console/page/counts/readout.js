import { byId, element, formatCount, setText } from '../dom.js'

/** @typedef {import('./frames.js').Frame} Frame */
/** @typedef {import('./frames.js').Step} Step */

const titles = {
  views: 'Plays, each counted exactly once',
  qualified: 'Views that pass the view rules',
  other: 'Views that have not qualified, such as repeats',
}

/** The time and the numbers below the chart. Screen readers announce them as the chart's value. */
export function createReadout() {
  const chart = byId('chart', HTMLElement)
  const caption = byId('chart-caption', HTMLElement)
  const list = byId('chart-numbers', HTMLElement)

  /**
   * @param {Frame} frame
   * @param {number | undefined} step undefined for all steps together
   */
  return function show({ title, steps, describe }, step) {
    const text = step === undefined ? title : describe(step)
    const numbers = toNumbers(steps, step)
    const texts = numbers.map(([name, count]) => `${formatCount(count)} ${toUnit(name, count)}`)
    setText(caption, text)
    if (list.dataset.numbers !== texts.join()) list.replaceChildren(...numbers.map(createNumber))
    list.dataset.numbers = texts.join()
    chart.ariaValueMax = String(steps.length)
    chart.ariaValueNow = String(step === undefined ? steps.length : step + 1)
    chart.ariaValueText = [text, ...texts].join(', ')
  }
}

/**
 * Leaves out viewers, because distinct users cannot be added up over time.
 * @param {Step[]} steps
 * @param {number | undefined} step
 * @returns {[name: keyof typeof titles, count: number | null][]}
 */
function toNumbers(steps, step) {
  const chosen = step === undefined ? steps : steps.slice(step, step + 1)
  const views = sum(chosen.map((each) => each.views))
  const qualified = sum(chosen.map((each) => each.qualified))
  const other = views === null || qualified === null ? null : views - qualified
  return [
    ['views', views],
    ['qualified', qualified],
    ['other', other],
  ]
}

/**
 * Returns null if all numbers are null.
 * @param {(number | null)[]} numbers
 */
function sum(numbers) {
  const counts = numbers.filter((number) => number !== null)
  return counts.length === 0 ? null : counts.reduce((total, number) => total + number, 0)
}

/** @param {[name: keyof typeof titles, count: number | null]} number */
function createNumber([name, count]) {
  return element(
    'li',
    { class: `of-${name}`, title: titles[name] },
    element('b', {}, formatCount(count)),
    ` ${toUnit(name, count)}`,
  )
}

/**
 * @param {keyof typeof titles} name
 * @param {number | null} count
 */
function toUnit(name, count) {
  return name === 'views' && count === 1 ? 'view' : name
}
