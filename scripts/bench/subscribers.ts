import { connect } from 'node:net'

/** Subscribes to an event stream over many connections, and discards all data. */
const [url = '', count = '1'] = process.argv.slice(2)
const { hostname, port, pathname, host } = new URL(url)
let connected = 0
for (let n = 0; n < Number(count); n += 1) {
  const socket = connect(Number(port), hostname)
  socket.write(`GET ${pathname} HTTP/1.1\r\nhost: ${host}\r\n\r\n`)
  socket.once('data', () => {
    connected += 1
    if (connected === Number(count)) process.stdout.write('all subscribed\n')
  })
  socket.resume()
}
