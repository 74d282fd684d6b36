/**
 * Returns the step that a key selects: undefined to clear the selection, null if the key does nothing in a chart.
 * @param {string} key
 * @param {number | undefined} selected
 * @param {number} last
 */
export function toStep(key, selected, last) {
  const move = (/** @type {number} */ by) => Math.min(last, Math.max(0, selected === undefined ? last : selected + by))
  if (key === 'ArrowLeft' || key === 'ArrowDown') return move(-1)
  if (key === 'ArrowRight' || key === 'ArrowUp') return move(1)
  if (key === 'Home') return 0
  if (key === 'End') return last
  return key === 'Escape' ? undefined : null
}
