import { existsSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { userInfo } from 'node:os'
import { join } from 'node:path'
import { toNginxConfig, toNginxKeys } from '../../cdn/nginx-config.ts'
import { toOrigin } from '../../shared/runtime/origin.ts'
import { toSecret } from '../../shared/runtime/secret.ts'
import { toSigningKeys } from '../../shared/runtime/signing-keys.ts'
import { startChild } from './child.ts'
import { failIfCiNeeds } from './ci-needs.ts'
import { eventually } from './eventually.ts'
import { env, hasNginx } from './nginx.ts'
import { freePort } from './ports.ts'
import { withResources } from './resources.ts'
import { startService } from './service-process.ts'
import { createTempDirectory } from './temp-directory.ts'

/** True if nginx and its JavaScript module (njs) are installed. */
export const hasNjs = failIfCiNeeds('njs', hasNginx && existsSync('/usr/lib/nginx/modules/ngx_http_js_module.so'))

export type Edge = AsyncDisposable & {
  url: string
  /** The log so far, with a line for each request. */
  log(): Promise<string>
}

type Options = {
  /** The signing keys, in the format of CDN_KEYS. */
  keys: string
  /** The directory with the media. */
  root: string
}

export const edges = [
  { edge: 'nginx', isInstalled: hasNjs, start: startNginxEdge },
  { edge: 'the Node edge', isInstalled: true, start: startNodeEdge },
]

/** Starts nginx with deploy/cdn/nginx.conf. */
export async function startNginxEdge({ keys, root }: Options): Promise<Edge & { reload(keys: string): Promise<void> }> {
  await using stack = new AsyncDisposableStack()
  const { path: state } = stack.use(await createTempDirectory('edge'))
  const port = await freePort()
  const [config, keysFile] = [join(state, 'nginx.conf'), join(state, 'keys.json')]
  const writeKeys = (text: string) => writeFile(keysFile, toNginxKeys(toSigningKeys(toSecret(text))), { mode: 0o600 })
  const { username: user } = userInfo()
  await writeKeys(keys)
  await writeFile(config, toNginxConfig({ listen: `127.0.0.1:${port}`, root, keys: keysFile, state, user }))
  const child = startChild('nginx', ['-e', 'stderr', '-c', config], { env })
  stack.defer(() => child[Symbol.asyncDispose]())
  const url = toOrigin('127.0.0.1', port)
  await child.ready(() => eventually(() => fetch(url)))
  const edge = {
    url,
    log: () => readFile(join(state, 'access.log'), 'utf8'),
    async reload(keys: string) {
      await writeKeys(keys)
      process.kill(child.pid, 'SIGHUP')
    },
  }
  return withResources(edge, stack)
}

/** Starts cdn/main.ts. */
async function startNodeEdge({ keys, root }: Options): Promise<Edge> {
  const child = await startService('cdn', { CDN_KEYS: keys, CDN_ROOT: root, LOG_LEVEL: 'debug' })
  return { ...child, log: async () => child.lines().join('\n') }
}
