import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { toOrigin } from '../../shared/runtime/origin.ts'
import { startChild } from './child.ts'
import { eventually } from './eventually.ts'
import { env, toMainConfig } from './nginx.ts'
import { freePort } from './ports.ts'
import { withResources } from './resources.ts'
import { createTempDirectory } from './temp-directory.ts'

/** The host name in deploy/gateway/nginx.conf under which clients reach play. */
export const NAME = 'play.example.com'

export const gatewayConfig = readFileSync('deploy/gateway/nginx.conf', 'utf8')

/**
 * Starts nginx in front of two play instances, with the addresses in deploy/gateway/nginx.conf replaced. `changes` are
 * further replacements in this file. Clients use the name `localhost`, because fetch cannot set the Host header.
 */
export async function startGateway(
  plays: readonly [string, string],
  changes: Record<string, string> = {},
): Promise<AsyncDisposable & { url: string }> {
  await using stack = new AsyncDisposableStack()
  const { path } = stack.use(await createTempDirectory('gateway'))
  const port = await freePort()
  const addresses = plays.map((url) => new URL(url).host)
  const config = replaceEach(gatewayConfig, {
    'server 127.0.0.1:8080': `server ${addresses[0]}`,
    'server 127.0.0.1:8180': `server ${addresses[1]}`,
    'listen 80;': `listen 127.0.0.1:${port};`,
    'listen 80 default_server;': `listen 127.0.0.1:${port} default_server;`,
    [`server_name ${NAME};`]: `server_name ${NAME} localhost;`,
    ...changes,
  })
  writeFileSync(join(path, 'gateway.conf'), config)
  writeFileSync(join(path, 'nginx.conf'), toMainConfig('include gateway.conf;'))
  const child = startChild('nginx', ['-p', path, '-e', 'stderr', '-c', 'nginx.conf'], { env })
  stack.defer(() => child[Symbol.asyncDispose]())
  const url = toOrigin('localhost', port)
  await child.ready(() => eventually(() => fetch(`${url}/nothing`)))
  return withResources({ url }, stack)
}

/** @throws Error if the text lacks a string to replace */
function replaceEach(text: string, changes: Record<string, string>): string {
  return Object.entries(changes).reduce((changed, [from, to]) => {
    if (!changed.includes(from)) throw new Error(`the configuration lacks ${JSON.stringify(from)}`)
    return changed.replace(from, to)
  }, text)
}
