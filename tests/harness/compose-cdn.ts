import { readFileSync, writeFileSync } from 'node:fs'
import { userInfo } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { toOrigin } from '../../shared/runtime/origin.ts'
import { startChild } from './child.ts'
import type { Compose } from './compose.ts'
import { eventually } from './eventually.ts'
import { env } from './nginx.ts'
import { freePort } from './ports.ts'
import { withResources } from './resources.ts'
import { createTempDirectory } from './temp-directory.ts'

const NAME = 'cdn'
const MODULES = '/usr/lib/nginx/modules'

/**
 * Starts this machine's nginx with the `cdn` container's configuration and the local files that Compose mounts in it.
 * Replaces environment variables in the configuration, as `envsubst` does in the image.
 * @param secrets the local directory that replaces /run/secrets
 * @throws Error if the environment contains a path that is not mounted, or the configuration uses an unset variable
 */
export async function startComposeCdn(compose: Compose, secrets: string): Promise<AsyncDisposable & { url: string }> {
  await using stack = new AsyncDisposableStack()
  const { path: state } = stack.use(await createTempDirectory(NAME))
  const { environment = {} } = compose.services[NAME] ?? {}
  const port = await freePort()
  const mounts = mountsOf(compose, { secrets, state })
  const values: Record<string, string> = Object.fromEntries(
    Object.entries(environment).map(([name, value]) => [name, value.startsWith('/') ? toLocal(value, mounts) : value]),
  )
  values.LISTEN = `127.0.0.1:${port}`
  values.USER = userInfo().username
  const template = readFileSync(toLocal('/etc/nginx/templates/nginx.conf.template', mounts), 'utf8')
  const config = template.replace(/\$\{([A-Z]+)\}/g, (variable, name) => values[name] ?? variable)
  if (/\$\{[A-Z]/.test(config)) throw new Error(`${NAME} lacks a variable that its configuration uses`)
  writeFileSync(join(state, 'nginx.conf'), config)
  const child = startChild('nginx', ['-e', 'stderr', '-c', join(state, 'nginx.conf')], { env })
  stack.defer(() => child[Symbol.asyncDispose]())
  const url = toOrigin('127.0.0.1', port)
  await child.ready(() => eventually(() => fetch(url)))
  return withResources({ url }, stack)
}

/** The local files and directories, keyed by their paths in the container. */
function mountsOf(compose: Compose, { secrets, state }: { secrets: string; state: string }): Record<string, string> {
  const { configs = [], volumes = [], tmpfs = [] } = compose.services[NAME] ?? {}
  return Object.fromEntries([
    [MODULES, MODULES],
    // In Docker, stdout is a pipe, which nginx can open. In a child process, stdout is a socket, which it cannot.
    ['/dev/stdout', join(state, 'access.log')],
    ...tmpfs.map((path) => [path, state]),
    ...configs.map(({ source, target }) => [target, resolve(compose.configs[source]?.file ?? '')]),
    ...volumes.map((volume) => {
      const [source = '', target = ''] = volume.split(':')
      return [target, source.startsWith('.') ? resolve(source) : join(secrets, target.slice('/run/secrets/'.length))]
    }),
  ])
}

function toLocal(path: string, mounts: Record<string, string>): string {
  const mounted = Object.keys(mounts).find((mount) => path === mount || path.startsWith(`${mount}/`))
  if (mounted !== undefined) return `${mounts[mounted]}${path.slice(mounted.length)}`
  // `path` may also be a mounted file's directory.
  const file = Object.keys(mounts).find((mount) => dirname(mount) === path)
  if (file === undefined) throw new Error(`nothing is mounted at ${path}`)
  return dirname(mounts[file] ?? '')
}
