import { createStoredText } from '../stored-text.js'

const IN_ADDRESS = /^#controls=([\w-]{16,128})$/

/**
 * The token for the `npm start` controls. The token arrives in the URL fragment, which browsers do not send to servers,
 * and is kept until the tab is closed. The page removes it from the URL, so that a copied link does not contain it.
 */
export function createControlsToken() {
  const stored = createStoredText(() => sessionStorage, 'controls')
  let token = stored.load() ?? undefined

  function take() {
    const [, given] = IN_ADDRESS.exec(location.hash) ?? []
    if (given === undefined) return
    token = given
    stored.save(given)
    history.replaceState(history.state, '', `${location.pathname}${location.search}`)
  }

  take()
  return {
    token: () => token,
    /**
     * Calls `onToken` when the page is opened again with another token.
     * @param {() => void} onToken
     */
    onChange(onToken) {
      addEventListener('hashchange', () => {
        const before = token
        take()
        if (token !== before) onToken()
      })
    },
  }
}
