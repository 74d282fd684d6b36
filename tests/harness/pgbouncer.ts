import { spawnSync } from 'node:child_process'
import { chownSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Client } from 'pg'
import { startChild } from './child.ts'
import { failIfCiNeeds } from './ci-needs.ts'
import { eventually } from './eventually.ts'
import { freePort } from './ports.ts'
import { unprivilegedUser } from './postgres.ts'
import { withResources } from './resources.ts'
import { createTempDirectory } from './temp-directory.ts'

/** Debian installs PgBouncer in a directory that only root has on the PATH. */
const env = { PATH: `${process.env.PATH}:/usr/sbin` }

/** True if PgBouncer is installed. */
export const hasPgBouncer = failIfCiNeeds('pgbouncer', spawnSync('pgbouncer', ['--version'], { env }).status === 0)

export type PgBouncer = AsyncDisposable & {
  /** The database's URL, through PgBouncer. */
  url: string
  signal(signal: NodeJS.Signals): Promise<void>
  /** Starts PgBouncer again after it has exited. */
  start(): Promise<void>
  /** Makes PgBouncer connect to the database at `target`, and reloads its configuration. `url` stays the same. */
  pointTo(target: string): Promise<void>
}

/** Starts PgBouncer on a free port, with transaction pooling and four connections to the database at a URL. */
export async function startPgBouncer(target: string): Promise<PgBouncer> {
  await using stack = new AsyncDisposableStack()
  const directory = stack.use(await createTempDirectory('pgbouncer'))
  const user = unprivilegedUser()
  if (user) chownSync(directory.path, user.uid, user.gid)
  const port = await freePort()
  const file = join(directory.path, 'pgbouncer.ini')
  const urlOf = (database: string) => `postgres://postgres@127.0.0.1:${port}/${database}`

  function configure(url: string): void {
    const { hostname, port: targetPort, pathname } = new URL(url)
    const target = `host=${hostname} port=${targetPort} dbname=${pathname.slice(1)}`
    writeFileSync(file, toConfiguration({ port, target }))
  }

  async function startOnce() {
    const [program = '', ...args] = [...(user?.command ?? []), 'pgbouncer', file]
    const started = startChild(program, args, { env, cwd: directory.path })
    await started.line((line) => line.includes('process up') || undefined)
    return started
  }

  configure(target)
  writeFileSync(join(directory.path, 'users.txt'), '"postgres" ""\n')
  let child = await startOnce()
  // This sends SIGTERM, which stops PgBouncer at once. SIGINT would wait for its clients.
  stack.defer(() => child[Symbol.asyncDispose]())
  const pgbouncer = {
    url: urlOf('counts'),
    signal: (name: NodeJS.Signals) => child.signal(name),
    async start() {
      child = await eventually(startOnce)
    },
    async pointTo(url: string) {
      configure(url)
      const admin = new Client({ connectionString: urlOf('pgbouncer') })
      await admin.connect()
      await admin.query('reload')
      await admin.end()
    },
  }
  return withResources(pgbouncer, stack)
}

function toConfiguration({ port, target }: { port: number; target: string }): string {
  return `[databases]
counts = ${target}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = trust
auth_file = users.txt
admin_users = postgres
pool_mode = transaction
default_pool_size = 4
server_login_retry = 1
`
}
