// Writes the image's root file system to a directory: Node and its libraries, the project and its dependencies.
// Runs in the build stage, with the same Node binary that the image will contain.
import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  realpathSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { cdn } from '../../cdn/service.ts'
import { serviceEntries, services } from '../../services.ts'
import { programs } from './programs.ts'

const USER = 10_001
const LIBRARIES = /\.so(\.\d+)*$/
const SOURCE = /(\.(ts|js|css|html|svg|json|jsonl)|\/LICENSE)$/
/** Files that are not needed at run time. They would make up a fifth of the image. */
const UNUSED = /\.(map|d\.[cm]?ts)$|\/node_modules\/(\.bin$|hls\.js\/(src$|dist\/(?!hls\.min\.mjs$)))/

const [root = ''] = process.argv.slice(2)
const inRoot = (path: string) => join(root, path)

copyNode()
copyLibraries()
writeSystemFiles()
writePorts()
cpSync(process.cwd(), inRoot('/app'), { recursive: true, filter: isUsed })
makeDirectory('/tmp', 0o1777)
makeDirectory('/data', 0o700, USER)
compileAll()

function isUsed(path: string): boolean {
  const isPart = path.includes('/node_modules') || SOURCE.test(path) || statSync(path).isDirectory()
  return isPart && !UNUSED.test(path)
}

function copyNode(): void {
  copy(process.execPath, '/usr/local/bin/node')
  copy(resolve(dirname(process.execPath), '../LICENSE'), '/usr/local/share/doc/node/LICENSE')
}

function copy(from: string, to: string): void {
  mkdirSync(dirname(inRoot(to)), { recursive: true })
  cpSync(realpathSync(from), inRoot(to))
}

/** Copies the shared libraries that are mapped into this process, including the loader, to the same paths. */
function copyLibraries(): void {
  if (!process.report) throw new Error('this build of Node does not support diagnostic reports')
  const { sharedObjects } = process.report.getReport() as { sharedObjects: string[] }
  for (const path of sharedObjects.filter((path) => LIBRARIES.test(path) && existsSync(path))) copy(path, path)
}

function writeSystemFiles(): void {
  mkdirSync(inRoot('/etc'), { recursive: true })
  writeFileSync(inRoot('/etc/passwd'), `app:x:${USER}:${USER}::/data:/sbin/nologin\n`)
  writeFileSync(inRoot('/etc/group'), `app:x:${USER}:\n`)
  // Without this file, glibc queries DNS before it reads /etc/hosts.
  writeFileSync(inRoot('/etc/nsswitch.conf'), 'hosts: files dns\n')
}

/** Writes the default ports, for the health check. */
function writePorts(): void {
  const ports = Object.fromEntries(serviceEntries.map(({ name, port }) => [name, port]))
  writeFileSync(
    new URL('ports.json', import.meta.url),
    JSON.stringify({ ...ports, embedded: services.play.port, cdn: cdn.port }),
  )
}

function makeDirectory(path: string, mode: number, owner = 0): void {
  mkdirSync(inRoot(path), { recursive: true })
  chmodSync(inRoot(path), mode)
  chownSync(inRoot(path), owner, owner)
}

/**
 * Runs each program once to fill Node's compile cache, so that programs in the image start faster and use less memory.
 * The cache is valid only for the paths, user and flags of these runs. Root owns the finished cache, so that no program
 * can change it.
 */
function compileAll(): void {
  const cache = '/usr/local/lib/compile-cache'
  makeDirectory(cache, 0o755, USER)
  const env = { NODE_COMPILE_CACHE: inRoot(cache) }
  for (const name of programs.keys()) {
    execFileSync(process.execPath, ['deploy/image/main.ts', name, '--help'], { uid: USER, gid: USER, env })
  }
  for (const path of ['.', ...readdirSync(inRoot(cache), { recursive: true, encoding: 'utf8' })]) {
    const file = join(inRoot(cache), path)
    chownSync(file, 0, 0)
    chmodSync(file, statSync(file).isDirectory() ? 0o755 : 0o644)
  }
}
