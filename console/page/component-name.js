/**
 * The display name of a component.
 * @param {string} name
 */
export function nameOf(name) {
  return name === 'events' ? 'event log' : name
}
