/**
 * @typedef {object} Handlers
 * @property {(type: string, data: any, isFirst: boolean) => void} onEvent `isFirst`: the event may be older than the subscription
 * @property {(isOpen: boolean) => void} onConnection
 */

/** @typedef {{ url: string, types: string[], getState: () => { type: string, data: any } | undefined } & Handlers} Subscription */

const RECONNECT_MS = 1_000

/**
 * Subscribes to server-sent events. Over HTTP/1.1, browsers open at most six connections per host, so all pages in a
 * browser share one connection: the page that holds a Web Lock receives the events, and broadcasts them to the
 * other pages. The returned function unsubscribes.
 * @param {Subscription} subscription `getState` returns one event with everything that this page has received, for
 * pages that join later
 */
export function subscribeToEvents({ url, types, getState, onEvent, onConnection }) {
  // The Web Locks API exists only in secure contexts, such as localhost.
  if (!navigator.locks) return connect(url, types, { onEvent, onConnection })
  const channel = new BroadcastChannel(url)
  const id = crypto.randomUUID()
  const ended = new AbortController()
  let isLeader = false
  let isOpen = false

  channel.addEventListener('message', ({ data: message }) => {
    if (message.kind === 'join' && isLeader) {
      channel.postMessage({ kind: 'joined', to: message.id, isOpen, state: getState() })
    }
    if (isLeader) return
    if (message.kind === 'event') onEvent(message.type, message.data, message.isFirst)
    if (message.kind === 'connection') onConnection(message.isOpen)
    if (message.kind === 'joined' && message.to === id) {
      onConnection(message.isOpen)
      if (message.state) onEvent(message.state.type, message.state.data, true)
    }
  })

  function lead() {
    isLeader = true
    const disconnect = connect(url, types, {
      onEvent(type, data, isFirst) {
        channel.postMessage({ kind: 'event', type, data, isFirst })
        onEvent(type, data, isFirst)
      },
      onConnection(isConnected) {
        isOpen = isConnected
        channel.postMessage({ kind: 'connection', isOpen })
        onConnection(isOpen)
      },
    })
    return new Promise((resolve) => {
      ended.signal.addEventListener('abort', () => {
        disconnect()
        channel.close()
        resolve(undefined)
      })
    })
  }

  channel.postMessage({ kind: 'join', id })
  navigator.locks.request(url, { signal: ended.signal }, lead).catch(() => channel.close())
  return () => ended.abort()
}

/**
 * @param {string} url
 * @param {string[]} types
 * @param {Handlers} handlers
 */
function connect(url, types, { onEvent, onConnection }) {
  /** @type {EventSource} */
  let source
  let timer = 0

  function open() {
    let isFirst = true
    source = new EventSource(url)
    for (const type of types) {
      source.addEventListener(type, ({ data }) => {
        onEvent(type, JSON.parse(data), isFirst)
        isFirst = false
      })
    }
    source.addEventListener('open', () => {
      isFirst = true
      onConnection(true)
    })
    source.addEventListener('error', () => {
      onConnection(false)
      // EventSource reconnects after a lost connection, but not after a response other than 200.
      if (source.readyState === EventSource.CLOSED) timer = setTimeout(open, RECONNECT_MS)
    })
  }

  open()
  return () => {
    clearTimeout(timer)
    source.close()
  }
}
