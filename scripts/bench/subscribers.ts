import { connect } from 'node:net'

/** Listens to a stream of events over many connections, and does nothing with what comes. */
const [url = '', count = '1'] = process.argv.slice(2)
const { hostname, port, pathname, host } = new URL(url)
let connected = 0
for (let n = 0; n < Number(count); n += 1) {
  const socket = connect(Number(port), hostname)
  socket.write(`GET ${pathname} HTTP/1.1\r\nhost: ${host}\r\n\r\n`)
  socket.once('data', () => {
    connected += 1
    if (connected === Number(count)) process.stdout.write('all listen\n')
  })
  socket.resume()
}
