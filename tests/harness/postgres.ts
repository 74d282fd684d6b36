import { execFile, execFileSync, spawnSync } from 'node:child_process'
import { chownSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { Client } from 'pg'
import { type Child, startChild } from './child.ts'
import { failIfCiNeeds } from './ci-needs.ts'
import { eventually } from './eventually.ts'
import { freePort } from './ports.ts'
import { withResources } from './resources.ts'
import { createTempDirectory } from './temp-directory.ts'

/** Debian keeps the server's programs off the PATH. */
const DEBIAN_DIRECTORY = '/usr/lib/postgresql'

const READY = /ready to accept (read-only )?connections/

const binaries = findBinaries(['postgres', 'initdb', 'pg_basebackup'])
/** True if a Postgres server is installed. */
export const hasPostgres = failIfCiNeeds('postgres', binaries !== undefined)

export type PostgresServer = AsyncDisposable & {
  /** The URL of a database on the server. */
  urlOf(database: string): string
  /** Creates an empty database, and returns its URL. */
  createDatabase(): Promise<string>
  /** The ids of all the server's processes. */
  pids(): number[]
  /** Signals all the server's processes. After SIGSTOP, connections stay open and nothing responds. */
  signal(signal: NodeJS.Signals): Promise<void>
  /** Restarts the server with the same data if it has exited, or resumes it if it is suspended. */
  start(): Promise<void>
  /** Runs `work` with a new superuser connection to a database, and closes the connection. */
  use<Result>(database: string, work: (client: Client) => Promise<Result>): Promise<Result>
}

type Options = {
  /** The URL of the primary that the server follows as a hot standby. If undefined, the server starts without data. */
  primary?: string
  port?: number
}

/** Starts a real Postgres server, by default on a free port, with fsync on. */
export async function startPostgres({ primary, port: given }: Options = {}): Promise<PostgresServer> {
  if (binaries === undefined) throw new Error('Postgres is not installed')
  await using stack = new AsyncDisposableStack()
  const directory = stack.use(await createTempDirectory('postgres'))
  const data = join(directory.path, 'data')
  const user = unprivilegedUser()
  if (user) chownSync(directory.path, user.uid, user.gid)
  const initdb = ['initdb', '-D', data, '-U', 'postgres', '-A', 'trust', '-E', 'UTF8', '--locale=C', '--no-sync']
  const baseBackup = ['pg_basebackup', '-D', data, '-d', primary ?? '', '-R', '-c', 'fast', '--no-sync']
  const [create = '', ...options] = primary ? baseBackup : initdb
  const [program = '', ...args] = [...(user?.command ?? []), join(binaries, create), ...options]
  // Do not block the event loop, because the backup may pass through a proxy in this process.
  await promisify(execFile)(program, args, { cwd: directory.path })
  const port = given ?? (await freePort())
  const urlOf = (database: string) => `postgres://postgres@127.0.0.1:${port}/${database}`
  let databases = 0

  const server = {
    urlOf,
    async createDatabase() {
      databases += 1
      const name = `test${databases}`
      await server.use(urlOf('postgres'), (client) => client.query(`create database ${name}`))
      return urlOf(name)
    },
    pids: () => [child.pid, ...childrenOf(child.pid)],
    async signal(name: NodeJS.Signals) {
      if (name === 'SIGTERM') return child.signal('SIGINT')
      for (const pid of childrenOf(child.pid)) signalIfRunning(pid, name)
      await child.signal(name)
    },
    async start() {
      if (!child.isRunning()) child = await startOnce()
      for (const pid of [...childrenOf(child.pid), child.pid]) signalIfRunning(pid, 'SIGCONT')
    },
    use,
  }

  async function startOnce(): Promise<Child> {
    const settings = ['-c', 'listen_addresses=127.0.0.1', '-c', 'unix_socket_directories=', '-c', 'fsync=on']
    const command = [...(user?.command ?? []), join(binaries ?? '', 'postgres'), '-D', data, '-p', String(port)]
    // After SIGKILL, the new server cannot start until the last process of the old one has exited.
    return eventually(async () => {
      const [program = '', ...args] = [...command, ...settings]
      const started = startChild(program, args, { cwd: directory.path })
      await started.line((line) => READY.test(line) || undefined)
      return started
    })
  }

  let child = await startOnce()
  stack.defer(async () => {
    if (!child.isRunning()) return
    for (const pid of childrenOf(child.pid)) signalIfRunning(pid, 'SIGCONT')
    await server.signal('SIGCONT')
    // SIGINT, unlike SIGTERM, does not wait for the clients.
    await child.signal('SIGINT')
  })
  return withResources(server, stack)
}

/** The path of a client program, such as `pg_dump`. */
export function postgresProgram(name: string): string {
  return join(findBinaries([name]) ?? '', name)
}

async function use<Result>(connectionString: string, work: (client: Client) => Promise<Result>): Promise<Result> {
  const client = new Client({ connectionString })
  await client.connect()
  try {
    return await work(client)
  } finally {
    await client.end()
  }
}

function findBinaries(programs: string[]): string | undefined {
  const directories = (process.env.PATH ?? '').split(':')
  const versions = spawnSync('ls', [DEBIAN_DIRECTORY], { encoding: 'utf8' }).stdout?.split('\n') ?? []
  const debian = versions.filter(Boolean).map((version) => join(DEBIAN_DIRECTORY, version, 'bin'))
  return [...directories, ...debian.reverse()].find((directory) => contains(directory, programs))
}

function contains(directory: string, programs: string[]): boolean {
  try {
    const files = readdirSync(directory)
    return programs.every((program) => files.includes(program))
  } catch {
    return false
  }
}

/** Postgres and PgBouncer refuse to run as root. */
export function unprivilegedUser(): { uid: number; gid: number; command: string[] } | undefined {
  if (process.getuid?.() !== 0) return undefined
  const idOf = (flag: string) => Number(execFileSync('id', [flag, 'postgres'], { encoding: 'utf8' }))
  const [uid, gid] = [idOf('-u'), idOf('-g')]
  return { uid, gid, command: ['setpriv', `--reuid=${uid}`, `--regid=${gid}`, '--clear-groups'] }
}

function childrenOf(pid: number): number[] {
  const { stdout } = spawnSync('ps', ['-o', 'pid=', '--ppid', String(pid)], { encoding: 'utf8' })
  return stdout.split('\n').filter(Boolean).map(Number)
}

function signalIfRunning(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal)
  } catch {
    // The process has just exited.
  }
}
