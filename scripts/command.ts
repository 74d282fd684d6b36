import { existsSync, readFileSync } from 'node:fs'
import type { ParseArgsOptionsConfig } from 'node:util'
import { Agent, setGlobalDispatcher } from 'undici'
import { services } from '../services.ts'
import { upstreamCa } from '../shared/client/settings.ts'
import {
  parseArguments,
  type parseCommandLine,
  toInformation,
  USAGE_STATUS,
  UsageError,
} from '../shared/runtime/command-line.ts'
import { createPrivateFiles } from '../shared/runtime/private-files.ts'
import { loadSettings } from '../shared/runtime/settings.ts'
import { environmentAt, urlsAt } from './start/environment.ts'

type Command<Options extends ParseArgsOptionsConfig> = {
  /** The command that the user types, such as `npm run doctor`. */
  name: string
  /** The output of `--help`. */
  usage: string
  /** The options of `util.parseArgs`. */
  options: Options
  /** If true, settings are also read from `.env`. Variables that are already set take precedence. */
  dotEnv?: boolean
  /** If true, the command takes arguments in addition to options. */
  takesArguments?: boolean
  /** If true, the umask decides whether other users may read the files that the command creates. */
  createsSources?: boolean
}

/**
 * Runs a command with its parsed options and arguments. `run` returns the exit status, 0 by default. On a UsageError,
 * prints one line and exits with status 2.
 */
export async function runCommand<Options extends ParseArgsOptionsConfig>(
  { name, usage, options, dotEnv = false, takesArguments = false, createsSources = false }: Command<Options>,
  run: (values: ReturnType<typeof parseCommandLine<Options>>, given: string[]) => Promise<number> | Promise<void>,
): Promise<void> {
  const args = process.argv.slice(2)
  const information = toInformation(args, () => usage)
  if (information !== undefined) {
    process.stdout.write(information)
    return
  }
  if (!createsSources) createPrivateFiles()
  try {
    if (dotEnv && existsSync('.env')) process.loadEnvFile('.env')
    trustUpstreams()
    const { values, positionals } = parseArguments(args, options, takesArguments)
    process.exitCode = (await run(values, positionals)) ?? 0
  } catch (error) {
    if (!(error instanceof UsageError)) throw error
    process.stderr.write(`${name}: ${error.message}\n`)
    process.exitCode = USAGE_STATUS
  }
}

/** Uses UPSTREAM_CA to verify the certificates of services, as the services do. */
function trustUpstreams(): void {
  const { UPSTREAM_CA: ca } = loadSettings({ UPSTREAM_CA: upstreamCa }, { args: [], env: process.env })
  if (ca !== undefined) setGlobalDispatcher(new Agent({ connect: { ca: readFileSync(ca) } }))
}

/** The option `--port N`: the edge's port. */
export const edgePortOption = { port: { type: 'string' } } as const

/**
 * Parses the edge's port. The default is play's port. All other ports, including that of NATS, are relative to it and
 * must be valid too.
 * @throws UsageError
 */
export function toEdgePort(text: string | undefined): number {
  if (text === undefined) return services.play.port
  const port = Number(text)
  if (Number.isInteger(port) && port >= 1_024 && port <= 60_000) return port
  throw new UsageError(`--port is "${text}": it must be a port, 1024 to 60000`)
}

/**
 * Loads the environment for a command that calls the system. `--port` selects the system that `npm start -- --port N`
 * starts, so it overrides the services' URLs, but not NATS_URL.
 * @throws UsageError
 */
export function loadEnvironment(port: string | undefined): NodeJS.ProcessEnv {
  const edgePort = toEdgePort(port)
  const environment = environmentAt(edgePort, process.env)
  return port === undefined ? environment : { ...environment, ...urlsAt(edgePort, process.env) }
}

/** Converts the public origin of a play instance to the origin of its operations port, if it has one. */
export function toOperations(origin: string, opsPort: number | undefined): string {
  const url = new URL(origin)
  if (opsPort !== undefined) url.port = String(opsPort)
  return url.origin
}
