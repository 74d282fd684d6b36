import { byId } from './dom.js'

const FORM = /^[A-Za-z0-9][A-Za-z0-9._@~-]{0,127}$/
const KEY = 'user'

/** The user to play as, remembered in this browser. */
export function createUser() {
  const input = byId('user', HTMLInputElement)
  const error = byId('user-error', HTMLElement)
  input.value = remembered() ?? `guest-${Math.floor(Math.random() * 9_000) + 1_000}`

  function check() {
    const isValid = FORM.test(input.value)
    error.hidden = isValid
    input.ariaInvalid = String(!isValid)
    if (isValid) remember(input.value)
    return isValid
  }

  input.addEventListener('input', check)
  check()
  return {
    /** The user's id. Undefined where what was typed is none; the page then says so, and goes there. */
    id() {
      if (check()) return input.value
      input.focus()
      return undefined
    },
  }
}

/** A browser may refuse its storage. */
function remembered() {
  try {
    return localStorage.getItem(KEY)
  } catch {
    return null
  }
}

/** @param {string} id */
function remember(id) {
  try {
    localStorage.setItem(KEY, id)
  } catch {
    // Then it is not remembered.
  }
}
