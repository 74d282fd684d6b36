/** @typedef {import('../../shared/contracts/live.ts').LiveSnapshot} LiveSnapshot */
/** @typedef {import('../../shared/contracts/live.ts').LiveChanges} LiveChanges */

const AGAIN_MS = 1_000

/**
 * Follows the live counts until what it returns is called.
 * @param {{
 *   onSnapshot: (snapshot: LiveSnapshot) => void,
 *   onChanges: (changes: LiveChanges) => void,
 *   onConnection: (isLive: boolean) => void,
 * }} deps
 */
export function followLive({ onSnapshot, onChanges, onConnection }) {
  /** @type {EventSource} */
  let source
  let timer = 0

  function open() {
    source = new EventSource('/live')
    source.addEventListener('snapshot', ({ data }) => onSnapshot(JSON.parse(data)))
    source.addEventListener('changes', ({ data }) => onChanges(JSON.parse(data)))
    source.addEventListener('open', () => onConnection(true))
    source.addEventListener('error', () => {
      onConnection(false)
      // After a broken connection the browser comes again by itself, but not after an answer other than 200.
      if (source.readyState === EventSource.CLOSED) timer = setTimeout(open, AGAIN_MS)
    })
  }

  open()
  return () => {
    clearTimeout(timer)
    source.close()
  }
}
