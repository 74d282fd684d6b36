import { readFile } from 'node:fs/promises'
import { nodeFlagsOf, parseProcfile } from '../../scripts/start/procfile.ts'
import { type Child, startChild } from './child.ts'
import { freePort } from './ports.ts'

const SETTINGS = [
  'NATS_URL',
  'METADATA_URL',
  'CDNURL_URL',
  'REPORTING_URL',
  'QUEUE_LISTENER_URL',
  'CATALOGUE_TTL',
  'HOST',
  'OTEL_EXPORTER_OTLP_ENDPOINT',
]

export type ServiceProcess = AsyncDisposable & {
  name: string
  url: string
  pid: () => number
  lines: () => string[]
  signal(signal: NodeJS.Signals): Promise<void>
  /** Starts it again, on the same port, where it has ended; lets it go on where it was stopped. */
  start(): Promise<void>
  /** The status that it ended with. */
  ended: () => Child['ended']
}

/** `node <name>/main.ts` as the Procfile starts it, but on a free port, and with nothing of the caller's settings. */
export async function startService(name: string, env: Record<string, string> = {}): Promise<ServiceProcess> {
  const command = parseProcfile(await readFile('Procfile', 'utf8')).find((line) => line.name === name)
  const flags = command ? nodeFlagsOf(command) : []
  return startCommand(name, process.execPath, [...flags, `${name}/main.ts`], env)
}

export function startProgram(
  name: string,
  script: string,
  env: Record<string, string>,
  port?: number,
): Promise<ServiceProcess> {
  return startCommand(name, process.execPath, [script], env, port)
}

/** A program that takes `--port` and says at which URL it listens. */
export async function startCommand(
  name: string,
  program: string,
  args: string[],
  env: Record<string, string>,
  given?: number,
): Promise<ServiceProcess> {
  const port = given ?? (await freePort())
  let child: Child
  const own = { ...Object.fromEntries(SETTINGS.map((name) => [name, ''])), ...env }

  async function start(): Promise<string> {
    child = startChild(program, [...args, '--port', String(port)], { env: own })
    const url = await child.line(listeningAt)
    return url
  }

  const url = await start()
  return {
    name,
    url,
    pid: () => child.pid,
    lines: () => child.lines,
    signal: (signal) => child.signal(signal),
    async start() {
      if (child.isRunning()) await child.signal('SIGCONT')
      else await start()
    },
    ended: () => child.ended,
    [Symbol.asyncDispose]: () => child[Symbol.asyncDispose](),
  }
}

function listeningAt(line: string): string | undefined {
  if (!line.startsWith('{')) return undefined
  const { msg, url } = JSON.parse(line)
  return msg === 'listening' ? url : undefined
}
