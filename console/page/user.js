import { byId } from './dom.js'

export const USER_ID = /^[A-Za-z0-9][A-Za-z0-9._@~-]{0,127}$/
const STORAGE_KEY = 'user'

/** The input for the user id. Persists the last valid id in the browser. */
export function createUser() {
  const input = byId('user', HTMLInputElement)
  const error = byId('user-error', HTMLElement)
  input.value = load() ?? `guest-${Math.floor(Math.random() * 9_000) + 1_000}`

  function validate() {
    const isValid = USER_ID.test(input.value)
    error.hidden = isValid
    input.ariaInvalid = String(!isValid)
    if (isValid) save(input.value)
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

/** Browsers may deny access to storage; the user id is then not persisted. */
function load() {
  try {
    return localStorage.getItem(STORAGE_KEY)
  } catch {
    return null
  }
}

/** @param {string} id */
function save(id) {
  try {
    localStorage.setItem(STORAGE_KEY, id)
  } catch {}
}
