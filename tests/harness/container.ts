import { execFile, spawnSync } from 'node:child_process'
import { chownSync, mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { startChild } from './child.ts'
import { eventually } from './eventually.ts'
import type { Image } from './image.ts'
import { withResources } from './resources.ts'
import { listeningUrl } from './service-process.ts'
import { createTempDirectory } from './temp-directory.ts'

/** Mounts the root file system read-only, with a writable /data, and starts a program in it as PID 1. */
const START = `set -e
root=$1 data=$2 user=$3
shift 3
mount --bind "$root" "$root"
mount -o remount,bind,ro "$root"
mount --bind "$data" "$root/data"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
exec setpriv --no-new-privs unshare --root="$root" --wd=/app --setgid "$user" --setuid "$user" -- "$@"`

type Result = { status: number; output: string }

export type Container = AsyncDisposable & {
  url: string
  /** The status of PID 1, as in /proc/1/status. */
  status(): string
  /** The processes that PID 1 has started. */
  children(): string[]
  signal(signal: NodeJS.Signals): Promise<void>
  /** Resolves to the exit status of PID 1, or to the signal that killed it. */
  ended(): Promise<number | NodeJS.Signals | null>
  /** Restarts the container with the same data after it has exited. */
  start(): Promise<void>
  /** Runs a command in the running container, as the container's user. */
  exec(command: string[], env?: Record<string, string>): Promise<Result>
}

/**
 * Runs a program from the image without a container engine, but with most namespaces and restrictions of a container: a
 * PID namespace, a mount namespace with a read-only root, the image's user without capabilities, and the image's
 * environment. The program shares the machine's network, and its memory is not limited.
 */
export async function startContainer(image: Image, args: string[], env: Record<string, string>): Promise<Container> {
  await using stack = new AsyncDisposableStack()
  const data = stack.use(await createTempDirectory('data'))
  const [user = ''] = image.user.split(':')
  chownSync(data.path, Number(user), Number(user))
  // A container runtime would create these directories in its own layer.
  for (const directory of ['proc', 'dev']) mkdirSync(join(image.root, directory), { recursive: true })
  const own = Object.fromEntries(
    image.env.map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]),
  )
  const environment = { NODE_EXTRA_CA_CERTS: '', ...own, ...env, PATH: `${own.PATH}:${process.env.PATH}` }
  const isolation = ['--mount', '--propagation', 'private', '--pid', '--fork', '--kill-child']
  const command = ['sh', '-c', START, 'sh', image.root, data.path, user, ...image.entrypoint, ...args]
  const startOnce = () => startChild('unshare', [...isolation, ...command], { env: environment })

  let child = startOnce()
  stack.defer(async () => {
    if (child.isRunning()) await Promise.all([signal('SIGKILL'), child.ended])
  })
  const current = () => firstOf(childrenOf(child.pid))
  const pid = () => eventually(current)
  const signal = async (name: NodeJS.Signals) => {
    process.kill(Number(await pid()), name)
  }
  const url = await child.line(listeningUrl)

  const container = {
    url,
    status: () => readFileSync(`/proc/${current()}/status`, 'utf8'),
    children: () => childrenOf(Number(current())),
    signal,
    ended: () => child.ended,
    async start() {
      await child.ended
      child = startOnce()
      await child.line(listeningUrl)
    },
    async exec(command: string[], more: Record<string, string> = {}) {
      const into = ['--target', await pid(), '--mount', '--pid', '--root', '--wd', '--setuid', user, '--setgid', user]
      return run('nsenter', [...into, '--', ...command], { ...environment, ...more })
    },
  }
  return withResources(container, stack)
}

function run(program: string, args: string[], env: Record<string, string>): Promise<Result> {
  return new Promise((resolve) => {
    execFile(program, args, { env }, (error, stdout, stderr) => {
      resolve({ status: error ? Number(error.code) : 0, output: stdout + stderr })
    })
  })
}

function childrenOf(pid: number): string[] {
  const { stdout } = spawnSync('ps', ['-o', 'pid=', '--ppid', String(pid)], { encoding: 'utf8' })
  return stdout
    .split('\n')
    .map((line) => line.trim())
    .filter(Boolean)
}

function firstOf(pids: string[]): string {
  const [first] = pids
  if (first === undefined) throw new Error('no process has started')
  return first
}
