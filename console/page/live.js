/** @typedef {import('../../shared/contracts/live.ts').LiveSnapshot} LiveSnapshot */
/** @typedef {import('../../shared/contracts/live.ts').LiveChanges} LiveChanges */

/** @typedef {import('../../shared/contracts/counting.ts').Counting} Counting */
/** @typedef {'live' | 'stale' | 'lost'} Connection `stale`: the stream is open, but no update arrives */

const RECONNECT_MS = 1_000
/** The counts are live only if a change or a heartbeat arrived within this time. */
const LIVE_MS = 2_000
const CHECK_MS = 250

/**
 * Subscribes to the live counts. Calls `onConnection` several times a second once the state of the
 * connection is known. The returned function unsubscribes.
 * @param {{
 *   onSnapshot: (snapshot: LiveSnapshot) => void,
 *   onChanges: (changes: LiveChanges) => void,
 *   onConnection: (connection: Connection) => void,
 * }} deps
 */
export function subscribeToCounts({ onSnapshot, onChanges, onConnection }) {
  /** @type {EventSource} */
  let source
  let timer = 0
  let openedAt = 0
  let updatedAt = Number.NEGATIVE_INFINITY
  /** The first event of a connection may come from the buffer of the edge, and says nothing about counting now. */
  let isFirst = true

  function connect() {
    source = new EventSource('/live')
    source.addEventListener('snapshot', ({ data }) => {
      onUpdate()
      onSnapshot(JSON.parse(data))
    })
    source.addEventListener('changes', ({ data }) => {
      onUpdate()
      onChanges(JSON.parse(data))
    })
    source.addEventListener('open', () => {
      openedAt = performance.now()
    })
    source.addEventListener('error', () => {
      isFirst = true
      check()
      // EventSource reconnects after a lost connection, but not after a response other than 200.
      if (source.readyState === EventSource.CLOSED) timer = setTimeout(connect, RECONNECT_MS)
    })
  }

  function onUpdate() {
    if (!isFirst) updatedAt = performance.now()
    isFirst = false
    check()
  }

  function check() {
    const now = performance.now()
    if (source.readyState !== EventSource.OPEN) onConnection('lost')
    else if (now - updatedAt < LIVE_MS) onConnection('live')
    else if (now - openedAt > LIVE_MS) onConnection('stale')
  }

  connect()
  const checks = setInterval(check, CHECK_MS)
  return () => {
    clearInterval(checks)
    clearTimeout(timer)
    source.close()
  }
}

/**
 * @param {Connection} connection
 * @param {Counting | undefined} counting the last known state of counting in reporting
 */
export function describeConnection(connection, counting) {
  if (connection === 'live') return 'Live'
  if (connection === 'lost') return 'Reconnecting…'
  if (!counting || counting.state === 'current') return 'Not live: no updates'
  const text = describeCounting(counting)
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}`
}

/**
 * Explains in a few words why there are no counts.
 * @param {Counting} counting
 */
export function describeCounting({ state, progress }) {
  if (state === 'replaying') return `replaying, ${Math.floor(progress * 100)} %`
  return state === 'behind' ? 'counts are behind' : 'waiting for the log'
}
