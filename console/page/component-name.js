/**
 * A component's display name.
 * @param {string} name
 */
export function nameOf(name) {
  return name === 'events' ? 'event log' : name
}
