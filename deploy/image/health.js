// The health check: GETs a path, /readyz by default, of the service that runs as PID 1. Exit status: 0 for a 2xx response,
// otherwise 1. Plain JavaScript without imports of the project, because it runs every few seconds in little memory.
import { readFileSync } from 'node:fs'
import { get } from 'node:http'

const TIMEOUT_MS = 4_000

const [path = '/readyz'] = process.argv.slice(2)
const fail = (reason) => {
  process.stderr.write(`${reason}\n`)
  process.exit(1)
}

get({ host: hostOf(process.env.HOST), port: portOf(readArguments()), path, timeout: TIMEOUT_MS }, (response) => {
  const { statusCode } = response
  response.on('data', (body) => process.stdout.write(body)).on('end', () => process.exit(statusCode < 300 ? 0 : 1))
})
  .on('timeout', () => fail(`no response in ${TIMEOUT_MS} ms`))
  .on('error', (error) => fail(error.message))

/** The name of the program of PID 1, and its arguments. An init process may precede them. */
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
