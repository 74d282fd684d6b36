/** @typedef {import('../../shared/contracts/live.ts').LiveSnapshot} LiveSnapshot */
/** @typedef {import('../../shared/contracts/live.ts').LiveChanges} LiveChanges */

const RECONNECT_MS = 1_000

/**
 * Subscribes to the live counts. The returned function unsubscribes.
 * @param {{
 *   onSnapshot: (snapshot: LiveSnapshot) => void,
 *   onChanges: (changes: LiveChanges) => void,
 *   onConnection: (isLive: boolean) => void,
 * }} deps
 */
export function subscribeToCounts({ onSnapshot, onChanges, onConnection }) {
  /** @type {EventSource} */
  let source
  let timer = 0

  function connect() {
    source = new EventSource('/live')
    source.addEventListener('snapshot', ({ data }) => onSnapshot(JSON.parse(data)))
    source.addEventListener('changes', ({ data }) => onChanges(JSON.parse(data)))
    source.addEventListener('open', () => onConnection(true))
    source.addEventListener('error', () => {
      onConnection(false)
      // EventSource reconnects after a lost connection, but not after a response other than 200.
      if (source.readyState === EventSource.CLOSED) timer = setTimeout(connect, RECONNECT_MS)
    })
  }

  connect()
  return () => {
    clearTimeout(timer)
    source.close()
  }
}
