import { bearer } from './bearer.js'
import { byId } from './dom.js'
import { createStoredText } from './stored-text.js'
import { USER_ID } from './user.js'

/** @typedef {import('../../shared/contracts/system-status.ts').SystemStatus} SystemStatus */
/** @typedef {ReturnType<typeof createToken>} Token */

/**
 * The input for the user's token. The input is shown while the edge has an identity provider. The token is kept until
 * the tab is closed, and is sent only to this edge.
 * @param {{ onUser: (id: string) => void }} deps `onUser` is called with the user that the token names
 */
export function createToken({ onUser }) {
  const field = byId('token-field', HTMLElement)
  const input = byId('token', HTMLInputElement)
  const error = byId('token-error', HTMLElement)
  const stored = createStoredText(() => sessionStorage, 'token')
  input.value = stored.load() ?? ''
  // Until the first status arrives, send a stored token, because requests from this tab have needed it before.
  let isOff = false

  // Strip characters that cannot be sent in a header.
  const token = () => input.value.replaceAll(/[^!-~]/g, '')

  function update() {
    const user = userOf(token())
    error.hidden = token() === '' || user !== undefined
    input.ariaInvalid = String(!error.hidden)
    if (user !== undefined) onUser(user)
  }

  input.addEventListener('input', () => {
    stored.save(token())
    update()
  })
  return {
    /** @param {SystemStatus | undefined} status undefined while the edge is unreachable */
    show(status) {
      if (!status) return
      const wasHidden = field.hidden
      isOff = status.parts.identity === undefined
      field.hidden = isOff
      if (wasHidden && !isOff) update()
    },
    /** The header that authenticates a request, if there is a token. */
    headers: () => bearer(isOff ? undefined : token()),
    /** The user that the token names. */
    user: () => (isOff ? undefined : userOf(token())),
    /**
     * Explains why the edge rejected a request.
     * @param {unknown} body the body of a response with status 401 or 403
     */
    describeRejection(body) {
      if (token() === '') return 'this edge needs a token. Paste yours at the top of the page.'
      const [reason] = Object(body).errors ?? []
      return `${reason?.message ?? 'the edge does not accept the token'}. You can paste another one at the top of the page.`
    },
  }
}

/**
 * Reads a JWT's subject without verifying the token. Returns undefined if the subject is not a user id.
 * @param {string} token
 */
function userOf(token) {
  try {
    const [, payload = ''] = token.split('.')
    const { sub } = JSON.parse(atob(payload.replaceAll('-', '+').replaceAll('_', '/')))
    return typeof sub === 'string' && USER_ID.test(sub) ? sub : undefined
  } catch {
    return undefined
  }
}
