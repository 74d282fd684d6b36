import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { toOrigin } from '../../shared/runtime/origin.ts'
import { startChild } from './child.ts'
import { failIfCiNeeds } from './ci-needs.ts'
import { eventually } from './eventually.ts'
import { freePort } from './ports.ts'
import { withResources } from './resources.ts'
import { createTempDirectory } from './temp-directory.ts'

/** Debian installs nginx in a directory that only root has on the PATH. */
export const env = { PATH: `${process.env.PATH}:/usr/sbin` }

/** True if nginx is installed. */
export const hasNginx = failIfCiNeeds('nginx', spawnSync('nginx', ['-v'], { env }).status === 0)

/** Starts nginx in front of `target`, as a reverse proxy that, like most, appends to X-Forwarded-For. */
export async function startNginx(target: string): Promise<AsyncDisposable & { url: string }> {
  await using stack = new AsyncDisposableStack()
  const { path } = stack.use(await createTempDirectory('nginx'))
  const port = await freePort()
  writeFileSync(join(path, 'nginx.conf'), toMainConfig(toServer(port, target)))
  const args = ['-p', path, '-e', 'stderr', '-c', 'nginx.conf']
  const child = startChild('nginx', args, { env })
  stack.defer(() => child[Symbol.asyncDispose]())
  const url = toOrigin('127.0.0.1', port)
  await child.ready(() => eventually(() => fetch(url, { method: 'OPTIONS' })))
  return withResources({ url }, stack)
}

function toServer(port: number, target: string): string {
  return `server {
    listen 127.0.0.1:${port};
    location / {
      proxy_pass ${target};
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    }
  }`
}

/** Wraps `http`, such as a server block, in a main configuration. nginx writes all files below its prefix. */
export function toMainConfig(http: string): string {
  const directories = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
  return `daemon off;
pid nginx.pid;
events {}
http {
  access_log off;
  ${directories.map((name) => `${name}_temp_path ${name};`).join('\n  ')}
  ${http}
}
`
}
