import { connect } from 'node:net'
import { sleep } from '../../shared/runtime/sleep.ts'

/**
 * Simulates open consoles, each in its own browser: `node console-pages.ts URL NUMBER`. Each console subscribes to the
 * live counts, and polls the other routes as often as a visible page does. All responses are discarded, because parsing
 * them would compete with the system for CPU time.
 */
const [url = '', count = '1'] = process.argv.slice(2)
const { hostname, port, host } = new URL(url)
const POLLED: [path: string, everyMs: number][] = [
  ['/status', 500],
  ['/series', 2_000],
  ['/traces?limit=50', 2_000],
  ['/history?range=5m', 2_000],
]

for (let page = 0; page < Number(count); page += 1) {
  open()('/live')
  const request = open()
  for (const [path, everyMs] of POLLED) void poll(() => request(path), everyMs)
}

/** Opens a connection, and returns a function that sends a request on it. */
function open(): (path: string) => void {
  const socket = connect(Number(port), hostname)
  socket.resume()
  return (path) => socket.write(`GET ${path} HTTP/1.1\r\nhost: ${host}\r\n\r\n`)
}

async function poll(request: () => void, everyMs: number): Promise<void> {
  await sleep(Math.random() * everyMs)
  setInterval(request, everyMs)
}
