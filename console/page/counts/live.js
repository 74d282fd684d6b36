import { subscribeToEvents } from './shared-events.js'

/** @typedef {import('../../../shared/contracts/live.ts').LiveSnapshot} LiveSnapshot */
/** @typedef {import('../../../shared/contracts/live.ts').LiveChanges} LiveChanges */

/** @typedef {import('../../../shared/contracts/counting.ts').Counting} Counting */
/** @typedef {'live' | 'stale' | 'lost'} Connection `stale`: the stream is open, but no updates arrive */

/** The counts are live only if a change or a heartbeat arrived within this time. */
const LIVE_MS = 2_000
const CHECK_MS = 250

/**
 * Subscribes to the live counts. Calls `onConnection` several times a second once the state of the
 * connection is known. The returned function unsubscribes.
 * @param {{
 *   getSnapshot: () => LiveSnapshot | undefined,
 *   onSnapshot: (snapshot: LiveSnapshot) => void,
 *   onChanges: (changes: LiveChanges) => void,
 *   onConnection: (connection: Connection) => void,
 * }} deps `getSnapshot`: the counts that this page has received
 */
export function subscribeToCounts({ getSnapshot, onSnapshot, onChanges, onConnection }) {
  let isOpen = false
  let openedAt = 0
  let updatedAt = Number.NEGATIVE_INFINITY

  function check() {
    const now = performance.now()
    if (!isOpen) onConnection('lost')
    else if (now - updatedAt < LIVE_MS) onConnection('live')
    else if (now - openedAt > LIVE_MS) onConnection('stale')
  }

  const unsubscribe = subscribeToEvents({
    url: '/live',
    types: ['snapshot', 'changes'],
    getState() {
      const snapshot = getSnapshot()
      return snapshot && { type: 'snapshot', data: snapshot }
    },
    onEvent(type, data, isFirst) {
      // The first event may come from the edge's replay buffer, so it does not prove that counting works now.
      if (!isFirst) updatedAt = performance.now()
      check()
      if (type === 'snapshot') onSnapshot(data)
      else onChanges(data)
    },
    onConnection(isConnected) {
      isOpen = isConnected
      if (isOpen) openedAt = performance.now()
      check()
    },
  })
  const checks = setInterval(check, CHECK_MS)
  return () => {
    clearInterval(checks)
    unsubscribe()
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
