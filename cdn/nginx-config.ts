import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { UsageError } from '../shared/runtime/command-line.ts'
import type { SigningKey } from '../shared/runtime/signing-keys.ts'

const DIRECTORY = fileURLToPath(new URL('../deploy/cdn', import.meta.url))

export type NginxOptions = {
  /** The address to listen on, such as `127.0.0.1:8085`. */
  listen: string
  /** The media directory. */
  root: string
  /** The key file; see toNginxKeys. */
  keys: string
  /** An existing directory for the log and temporary files. */
  state: string
  /** The log file. Default: `access.log` in `state`. */
  log?: string | undefined
  /** The user for the worker processes, if nginx is started as root. */
  user: string
  /** The nginx module directory. Default: the path on Debian. */
  modules?: string | undefined
}

/**
 * Generates the configuration for nginx as a CDN edge. Paths must be absolute.
 * @throws UsageError for a value that nginx cannot parse
 */
export function toNginxConfig({ modules = '/usr/lib/nginx/modules', ...options }: NginxOptions): string {
  const log = options.log ?? `${options.state}/access.log`
  const values: Record<string, string> = { ...options, log, modules, verifier: DIRECTORY }
  const template = readFileSync(`${DIRECTORY}/nginx.conf`, 'utf8')
  return template.replace(/\$\{([A-Z]+)\}/g, (_, name: string) => {
    const value = values[name.toLowerCase()]
    if (value === undefined || /["$\\\n;{}]/.test(value))
      throw new UsageError(`nginx cannot parse ${JSON.stringify(value)}`)
    return value
  })
}

/** Returns the contents of the key file, which must stay secret. nginx reads the file when it starts or reloads. */
export function toNginxKeys(keys: readonly SigningKey[]): string {
  return `${JSON.stringify(toSecrets(keys))}\n`
}

/** Maps each key id to its secret. */
export function toSecrets(keys: readonly SigningKey[]): Record<string, string> {
  return Object.fromEntries(keys.map(({ id, secret }) => [id, secret.reveal()]))
}
