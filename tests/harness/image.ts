import { execFile, execFileSync, spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { failIfCiNeeds } from './ci-needs.ts'
import { withResources } from './resources.ts'
import { createTempDirectory } from './temp-directory.ts'

/** True if buildah is installed, and can build and mount. Without a container engine, this requires root. */
export const canBuildImage =
  failIfCiNeeds('buildah', spawnSync('buildah', ['--version']).status === 0) && canMount() && canBuild()

const BASE = 'localhost/base'
const TAG = 'localhost/under-test'

/** Shorter than a test's timeout, so that a hanging build is killed and its files are deleted. */
const STEP_LIMIT_MS = 200_000

export type Image = {
  /** The directory of the image's root file system. */
  root: string
  /** The image's size in bytes, uncompressed. */
  size: number
  labels: Record<string, string>
  user: string
  env: string[]
  entrypoint: string[]
  healthCheck: string[]
}

/** Runs `npm run image` with separate storage, and a base image that has this machine's Node, npm and shell. */
export async function buildImage(): Promise<Image & AsyncDisposable> {
  await using stack = new AsyncDisposableStack()
  const { path } = stack.use(await createTempDirectory('image'))
  const env = { ...process.env, ...isolate(path), IMAGE_BUILDER: 'buildah' }
  const run = async (program: string, ...args: string[]) => {
    const { stdout } = await promisify(execFile)(program, args, { env, maxBuffer: 2 ** 26, timeout: STEP_LIMIT_MS })
    return stdout.trim()
  }

  writeBase(join(path, 'base'))
  writeFileSync(join(path, 'Dockerfile'), 'FROM scratch\nCOPY . /\n')
  await run('buildah', 'build', '--tag', BASE, '--file', join(path, 'Dockerfile'), join(path, 'base'))
  const cache = await run('npm', 'config', 'get', 'cache')
  const options = ['--tag', TAG, '--build-arg', `BASE=${BASE}`, '--volume', `${cache}:/root/.npm`]
  await run('bash', 'scripts/image/build.sh', ...options)

  const { Docker } = JSON.parse(await run('buildah', 'inspect', '--type', 'image', TAG))
  const [listed] = JSON.parse(await run('buildah', 'images', '--json', TAG))
  const root = await run('buildah', 'mount', await run('buildah', 'from', TAG))
  const { Labels, User, Env, Entrypoint, Healthcheck } = Docker.config
  const image = { labels: Labels, user: User, env: Env, entrypoint: Entrypoint, healthCheck: Healthcheck.Test.slice(1) }
  return withResources({ root, size: toBytes(listed.size), ...image }, stack)
}

/** Settings that make buildah keep everything in one directory without mounts, so that a test can simply delete it. */
function isolate(path: string): Record<string, string> {
  const storage = join(path, 'storage.conf')
  const [graph, run] = [join(path, 'graph'), join(path, 'run')]
  writeFileSync(storage, `[storage]\ndriver = "vfs"\ngraphroot = "${graph}"\nrunroot = "${run}"\n`)
  return { CONTAINERS_STORAGE_CONF: storage, BUILDAH_ISOLATION: 'chroot', TMPDIR: path }
}

/** Writes a base image for the build stage, without a registry: a shell, Node and npm, and the libraries they load. */
function writeBase(root: string): void {
  addPrograms(root, { '/bin/sh': '/bin/sh', '/usr/bin/env': '/usr/bin/env', '/usr/bin/node': process.execPath })
  const npm = execFileSync('sh', ['-c', 'command -v npm'], { encoding: 'utf8' }).trim()
  add(root, resolve(realpathSync(npm), '../..'), '/usr/lib/node_modules/npm')
  symlinkSync('../lib/node_modules/npm/bin/npm-cli.js', join(root, 'usr/bin/npm'))
  for (const directory of ['tmp', 'etc', 'root']) mkdirSync(join(root, directory), { recursive: true })
  writeFileSync(join(root, 'etc/passwd'), 'root:x:0:0::/root:/bin/sh\n')
  const { NODE_EXTRA_CA_CERTS: authorities } = process.env
  if (authorities) add(root, authorities, '/etc/extra.pem')
  writeFileSync(join(root, 'root/.npmrc'), authorities ? 'cafile=/etc/extra.pem\n' : '')
}

/** Copies this machine's programs to other paths below `root`, with the libraries that they load. */
function addPrograms(root: string, programs: Record<string, string>): void {
  for (const [path, program] of Object.entries(programs)) {
    add(root, program, path)
    const loaded = execFileSync('ldd', [program], { encoding: 'utf8' })
    for (const [, library = ''] of loaded.matchAll(/(\/\S+) \(0x/g)) add(root, library, library)
  }
}

function add(root: string, from: string, to: string): void {
  mkdirSync(join(root, dirname(to)), { recursive: true })
  cpSync(realpathSync(from), join(root, to), { recursive: true })
}

function canMount(): boolean {
  const script = 'mount --bind / /mnt && mount -t proc proc /mnt/proc'
  const isolation = ['--mount', '--propagation', 'private', '--pid', '--fork']
  return process.getuid?.() === 0 && spawnSync('unshare', [...isolation, 'sh', '-c', script]).status === 0
}

/** Tries to build an image with one step. */
function canBuild(): boolean {
  const path = mkdtempSync(join(tmpdir(), 'can-build-'))
  try {
    addPrograms(join(path, 'base'), { '/bin/sh': '/bin/sh' })
    writeFileSync(join(path, 'Dockerfile'), 'FROM scratch\nCOPY . /\nRUN :\n')
    const args = ['build', '--file', join(path, 'Dockerfile'), join(path, 'base')]
    const { status, stderr } = spawnSync('buildah', args, { env: { ...process.env, ...isolate(path) } })
    if (status !== 0) console.warn(`buildah cannot build here: ${stderr}`)
    return status === 0
  } finally {
    rmSync(path, { recursive: true, force: true })
  }
}

/** `buildah images` prints sizes such as `190 MB`. */
function toBytes(text: string): number {
  const [number, unit = ''] = text.split(' ')
  return Number(number) * 1_000 ** ['B', 'KB', 'MB', 'GB'].indexOf(unit.toUpperCase())
}
