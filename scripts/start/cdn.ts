import { spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { toNginxConfig, toNginxKeys } from '../../cdn/nginx-config.ts'
import { services } from '../../services.ts'
import { UsageError } from '../../shared/runtime/command-line.ts'
import { toOrigin } from '../../shared/runtime/origin.ts'
import { dataDir, host, loadSettings } from '../../shared/runtime/settings.ts'
import { signingKeys, toSigningKeys } from '../../shared/runtime/signing-keys.ts'
import { toReachable } from './environment.ts'
import { type Plan, portsNeeded, readProcfile } from './plan.ts'

const MEDIA = 'deploy/cdn/media'
/** The prefix of the demo clips. Unless CDN_PATHS is set, play signs only URLs with this prefix. */
const CLIPS = 'clips/'

/** Unless a CDN is configured, adds an edge for the demo catalogue's clips, and makes play sign their URLs. */
export function withCdn(plan: Plan, edgePort: number, given: NodeJS.ProcessEnv): Plan {
  if (given.CDN_BASE_URL || (given.CDN_SIGNER && given.CDN_SIGNER !== 'hmac')) return plan
  const commands = readProcfile('Procfile.cdn', edgePort - services.play.port)
  const [{ port } = { port: 0 }, ...others] = portsNeeded(commands)
  if (port === 0 || others.length > 0) throw new Error('Procfile.cdn must have exactly one port')
  const env = {
    ...plan.env,
    ...(given.CDN_KEYS_FILE ? {} : { CDN_KEYS: given.CDN_KEYS || `local:${randomBytes(32).toString('base64url')}` }),
    CDN_PATHS: given.CDN_PATHS || CLIPS,
    // If the edge listens on all addresses, URLs use loopback, which works on this machine only. Other
    // machines need CDN_BASE_URL.
    CDN_BASE_URL: toOrigin(toReachable(given.HOST), port),
  }
  const ports = [...plan.ports, { name: 'cdn', port }]
  const cdn = { port, server: 'Node' as const }
  if (plan.mode === 'embedded') return { ...plan, env: { ...env, CDN_PORT: String(port) }, ports, cdn }
  return { ...plan, commands: [...commands, ...plan.commands], env, ports, cdn }
}

/**
 * Replaces a plan's edge with nginx, if the nginx on the PATH accepts deploy/cdn/nginx.conf. Writes the configuration
 * to a directory in DATA_DIR that is named after the port, because another `npm start` may use the same DATA_DIR. The
 * ports must be free.
 * @throws UsageError if the keys are invalid
 */
export function preferNginx(plan: Plan): Plan {
  const { cdn, env, mode } = plan
  if (!cdn || mode === 'embedded' || spawnSync('nginx', ['-v'], { env }).error) return plan
  const state = resolve(loadSettings({ DATA_DIR: dataDir }, { args: [], env }).DATA_DIR, `cdn-${cdn.port}`)
  if (!writeConfiguration(state, cdn.port, env)) return plan
  const args = ['-p', state, '-e', 'stderr', '-c', 'nginx.conf']
  // An nginx without njs, or with an older njs, rejects the configuration.
  if (spawnSync('nginx', ['-t', ...args], { env }).status !== 0) return plan
  const command = 'exec nginx -p "$CDN_STATE" -e stderr -c nginx.conf'
  return {
    ...plan,
    commands: plan.commands.map((each) => (each.name === 'cdn' ? { ...each, command } : each)),
    env: { ...env, CDN_STATE: state },
    cdn: { ...cdn, server: 'nginx' },
  }
}

/** Returns false if nginx cannot parse the path of a directory, or if the files cannot be written. */
function writeConfiguration(state: string, port: number, env: NodeJS.ProcessEnv): boolean {
  const { CDN_KEYS, HOST } = loadSettings({ CDN_KEYS: signingKeys, HOST: host }, { args: [], env })
  if (!CDN_KEYS) throw new UsageError('CDN_KEYS is not set')
  const keys = join(state, 'keys.json')
  const listen = new URL(toOrigin(HOST, port)).host
  try {
    // If root starts nginx, its workers must stay root to read the media. For any other user, nginx ignores `user`.
    const config = toNginxConfig({ listen, root: resolve(MEDIA), keys, state, user: 'root' })
    mkdirSync(state, { recursive: true })
    writeFileSync(keys, toNginxKeys(toSigningKeys(CDN_KEYS)), { mode: 0o600 })
    writeFileSync(join(state, 'nginx.conf'), config)
    return true
  } catch {
    return false
  }
}
