import { readFileSync } from 'node:fs'
import { nodeFlagsOf, parseProcfile } from '../../scripts/start/procfile.ts'
import { type Child, startChild } from './child.ts'
import { freePort } from './ports.ts'
import { withResources } from './resources.ts'
import { createTempDirectory } from './temp-directory.ts'

export type ServiceProcess = AsyncDisposable & {
  name: string
  url: string
  pid: () => number
  lines: () => string[]
  signal(signal: NodeJS.Signals): Promise<void>
  /** Restarts the process on the same port if it has exited, or resumes it if it is suspended. */
  start(): Promise<void>
  /** Resolves with the process's exit status, or the signal that killed it. */
  ended: () => Child['ended']
}

/**
 * Starts `node <name>/main.ts` with the flags in the Procfile, on a free port or the given one. The process inherits no
 * settings: only the settings in `env` are set. Without a DATA_DIR in `env`, the process gets its own, and keeps it
 * across restarts.
 */
export function startService(name: string, env: Record<string, string> = {}, port?: number): Promise<ServiceProcess> {
  const command = parseProcfile(readFileSync('Procfile', 'utf8')).find((line) => line.name === name)
  const flags = command ? nodeFlagsOf(command) : []
  return startCommand(name, process.execPath, [...flags, `${name}/main.ts`], env, port)
}

/** Starts a program that takes `--port` and logs the URL that it listens on. */
export async function startCommand(
  name: string,
  program: string,
  args: string[],
  env: Record<string, string>,
  given?: number,
): Promise<ServiceProcess> {
  const port = given ?? (await freePort())
  await using stack = new AsyncDisposableStack()
  const DATA_DIR = env.DATA_DIR ?? stack.use(await createTempDirectory('service')).path
  const options = { env: { ...unsetSettings(), ...env, DATA_DIR } }
  const startOnce = () => startChild(program, [...args, '--port', String(port)], options)
  let child = startOnce()
  stack.defer(() => child[Symbol.asyncDispose]())
  const url = await child.line(listeningUrl)
  const process = {
    name,
    url,
    pid: () => child.pid,
    lines: () => child.lines,
    signal: (signal: NodeJS.Signals) => child.signal(signal),
    async start() {
      if (child.isRunning()) return child.signal('SIGCONT')
      child = startOnce()
      await child.line(listeningUrl)
    },
    ended: () => child.ended,
  }
  return withResources(process, stack)
}

/** Unsets every documented setting, except the log level. */
function unsetSettings(): Record<string, string> {
  const documented = [...readFileSync('.env.example', 'utf8').matchAll(/^# ?([A-Z_]+)=/gm)].map(([, name]) => name)
  return Object.fromEntries(documented.filter((name) => name !== 'LOG_LEVEL').map((name) => [name, '']))
}

/** The URL in the log line of a program that has started listening. */
export function listeningUrl(line: string): string | undefined {
  if (!line.startsWith('{')) return undefined
  const { msg, url, surface } = JSON.parse(line)
  return msg === 'listening' && surface === undefined ? url : undefined
}
