/**
 * Keeps the catalogue's filters in the URL's query string, so that a reload and a shared link show the same assets.
 * @param {Record<string, HTMLInputElement | HTMLSelectElement>} controls by query parameter
 */
export function createFilterAddress(controls) {
  const initial = new Map(Object.entries(controls).map(([name, { value }]) => [name, value]))
  let query = new URLSearchParams()

  function load() {
    query = new URLSearchParams(location.search)
    for (const [name, control] of Object.entries(controls)) {
      const value = query.get(name) ?? initial.get(name) ?? ''
      control.value = value
      // Setting a select to a value that it does not offer clears the select.
      if (control.value !== value) control.value = initial.get(name) ?? ''
    }
  }

  load()
  return {
    /** Reads the values again after a navigation in the browser history, because each entry has its own query. */
    load,
    /**
     * The value of a parameter.
     * @param {string} name
     */
    get: (name) => query.get(name) ?? '',
    /** Saves the values that differ from the initial ones. */
    save() {
      for (const [name, { value }] of Object.entries(controls)) {
        if (value === initial.get(name)) query.delete(name)
        else query.set(name, value)
      }
      const text = query.toString()
      history.replaceState(history.state, '', `${location.pathname}${text && `?${text}`}${location.hash}`)
    },
  }
}
