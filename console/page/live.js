/** @typedef {import('../../shared/contracts/live.ts').LiveSnapshot} LiveSnapshot */
/** @typedef {import('../../shared/contracts/live.ts').LiveChanges} LiveChanges */

/** @typedef {import('../../shared/contracts/counting.ts').Counting} Counting */

const RECONNECT_MS = 1_000
/** The counts are live only if counting was heard of within this time. */
const LIVE_MS = 2_000
const CHECK_MS = 250

/**
 * Subscribes to the live counts. `onConnection` is called regularly. The returned function unsubscribes.
 * @param {{
 *   onSnapshot: (snapshot: LiveSnapshot) => void,
 *   onChanges: (changes: LiveChanges) => void,
 *   onConnection: (text: string) => void,
 * }} deps
 */
export function subscribeToCounts({ onSnapshot, onChanges, onConnection }) {
  /** @type {EventSource} */
  let source
  let timer = 0
  let heardAt = 0
  /** @type {Counting | undefined} undefined until the first heartbeat of the connection */
  let counting

  function connect() {
    source = new EventSource('/live?counting=1')
    source.addEventListener('snapshot', ({ data }) => onSnapshot(JSON.parse(data)))
    source.addEventListener('changes', ({ data }) => {
      onChanges(JSON.parse(data))
      // The first changes may be older: those that were missed while the page was disconnected.
      if (counting) heardAt = performance.now()
    })
    source.addEventListener('counting', ({ data }) => {
      counting = JSON.parse(data)
      heardAt = performance.now()
      check()
    })
    source.addEventListener('error', () => {
      counting = undefined
      check()
      // EventSource reconnects after a lost connection, but not after a response other than 200.
      if (source.readyState === EventSource.CLOSED) timer = setTimeout(connect, RECONNECT_MS)
    })
  }

  function check() {
    const isFresh = performance.now() - heardAt < LIVE_MS
    onConnection(source.readyState === EventSource.OPEN ? toText(isFresh ? counting : undefined) : 'Reconnecting…')
  }

  connect()
  const checks = setInterval(check, CHECK_MS)
  return () => {
    clearInterval(checks)
    clearTimeout(timer)
    source.close()
  }
}

/** @param {Counting | undefined} counting undefined if nothing was heard of it */
function toText(counting) {
  if (!counting) return 'Not live: counting is silent'
  if (counting.state === 'current') return 'Live'
  const text = describeCounting(counting)
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}`
}

/**
 * Why there are no counts, in a few words.
 * @param {Counting} counting
 */
export function describeCounting({ state, progress }) {
  if (state === 'replaying') return `replaying, ${Math.floor(progress * 100)} %`
  return state === 'behind' ? 'counts are behind' : 'waiting for the log'
}
