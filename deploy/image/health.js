// The health check: sends a GET for a path, by default /readyz, to the service that runs as PID 1. The exit status is 0
// for a 2xx response, and 1 otherwise. Loads neither the project nor `node:http`, because memory is scarce.
import { readFileSync } from 'node:fs'
import { connect } from 'node:net'

const TIMEOUT_MS = 4_000

const [path = '/readyz'] = process.argv.slice(2)
const fail = (reason) => {
  process.stderr.write(`${reason}\n`)
  process.exit(1)
}

const socket = connect({ host: hostOf(process.env.HOST), port: portOf(readArguments()) })
let response = ''
socket.write(`GET ${path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n`)
socket.setEncoding('utf8')
socket.setTimeout(TIMEOUT_MS, () => fail(`no response within ${TIMEOUT_MS} ms`))
socket.on('error', (error) => fail(error.message))
socket.on('data', (text) => {
  response += text
})
socket.on('end', () => {
  process.stdout.write(response)
  process.exit(/^HTTP\/1\.1 2/.test(response) ? 0 : 1)
})

/**
 * The name and arguments of the program that PID 1 runs. If PID 1 is an init process, its own name and options precede
 * them on its command line.
 */
function readArguments() {
  const command = readFileSync('/proc/1/cmdline', 'utf8').split('\0')
  return command.slice(command.findIndex((argument) => argument.endsWith('image/main.ts')) + 1)
}

function portOf([name, ...args]) {
  const at = args.findLastIndex((argument) => /^--port(=|$)/.test(argument))
  const flag = at === -1 ? undefined : (args[at].split('=')[1] ?? args[at + 1])
  return Number(flag || process.env.PORT || defaultPorts()[name])
}

function defaultPorts() {
  return JSON.parse(readFileSync(new URL('ports.json', import.meta.url), 'utf8'))
}

function hostOf(host) {
  if (!host || host === '0.0.0.0') return '127.0.0.1'
  return host === '::' ? '::1' : host
}
