import { byId } from './dom.js'
import { createStoredText } from './stored-text.js'

export const USER_ID = /^[A-Za-z0-9][A-Za-z0-9._@~-]{0,127}$/

/** The input for the user id. Persists the last valid id in the browser. */
export function createUser() {
  const input = byId('user', HTMLInputElement)
  const error = byId('user-error', HTMLElement)
  const stored = createStoredText(() => localStorage, 'user')
  input.value = stored.load() ?? `guest-${Math.floor(Math.random() * 9_000) + 1_000}`

  function validate() {
    const isValid = USER_ID.test(input.value)
    error.hidden = isValid
    input.ariaInvalid = String(!isValid)
    if (isValid) stored.save(input.value)
    return isValid
  }

  input.addEventListener('input', validate)
  validate()
  return {
    /** @param {string} id */
    set(id) {
      input.value = id
      validate()
    },
    /** Returns the user id. If it is invalid, focuses the input and returns undefined. */
    id() {
      if (validate()) return input.value
      input.focus()
      return undefined
    },
  }
}
