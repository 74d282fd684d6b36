import { chmod, readFile, writeFile } from 'node:fs/promises'
import { parseEnv } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type ServiceName, services } from '../services.ts'
import { toOrigin } from '../shared/runtime/origin.ts'
import { doctor } from './harness/doctor-command.ts'
import { eventually } from './harness/eventually.ts'
import { type IdentityProvider, startIdentityProvider } from './harness/identity-provider.ts'
import { natsVersion } from './harness/nats-server.ts'
import { freePort } from './harness/ports.ts'
import { startService } from './harness/service-process.ts'
import { type System, startSystem } from './harness/system.ts'
import { createTempDirectory } from './harness/temp-directory.ts'

/**
 * Each entry: a line of the checklist, a service that is exposed without the given settings of deploy/public.env, and
 * other settings that the exposure requires.
 */
const EXPOSURES: [line: string, service: ServiceName, settings: string[], others?: Record<string, string>][] = [
  ['identity', 'play', ['AUTH_JWKS_URL', 'AUTH_ISSUER', 'AUTH_AUDIENCE']],
  ['user-rate', 'play', ['PLAY_RATE']],
  ['client-rate', 'play', ['CLIENT_RATE']],
  ['connections', 'play', ['TRUSTED_PROXIES']],
  ['operations', 'play', ['OPS_PORT']],
  // HOST is set, because a service on loopback refuses other host names by default.
  ['hosts', 'play', ['ALLOWED_HOSTS'], { HOST: '0.0.0.0' }],
  ['reads', 'reporting', ['READ_TOKEN_FILE']],
  ['writes', 'metadata', ['WRITE_TOKEN_FILE']],
  ['writes', 'cdnurl', ['WRITE_TOKEN_FILE']],
  ['writes', 'reporting', ['WRITE_TOKEN_FILE']],
  ['writes', 'queue-listener', ['WRITE_TOKEN_FILE']],
]

/** Lines that depend on the doctor's own settings. */
const DISTANT: [line: string, settings: Record<string, string>][] = [
  ['nats', { NATS_URL: 'nats://nats.invalid:4222' }],
  ['upstreams', { METADATA_URL: 'http://metadata.invalid:8081' }],
  ['database', { DATABASE_URL: 'postgres://reporting@database.invalid/counts' }],
]

describe.skipIf(!natsVersion)('the doctor', () => {
  let provider: IdentityProvider
  let directory: Awaited<ReturnType<typeof createTempDirectory>>
  let system: System
  beforeAll(async () => {
    provider = await startIdentityProvider()
    directory = await createTempDirectory('public-edge')
    system = await startSystem(await readPublicEnv())
  })
  afterAll(async () => {
    await system?.[Symbol.asyncDispose]()
    await provider?.[Symbol.asyncDispose]()
    await directory?.[Symbol.asyncDispose]()
  })

  /** Reads deploy/public.env. Replaces its examples with a running identity provider, token files and a free port. */
  async function readPublicEnv(): Promise<Record<string, string>> {
    const given = parseEnv(await readFile('deploy/public.env', 'utf8')) as Record<string, string>
    const tokens: Record<string, string> = {}
    for (const name of Object.keys(given).filter((name) => name.endsWith('_FILE'))) {
      tokens[name] = `${directory.path}/${name}`
      await writeFile(tokens[name], `${name}-of-at-least-16-characters\n`)
    }
    return { ...given, ...provider.settings, ...tokens, OPS_PORT: String(await freePort()) }
  }

  const inspect = (env: Record<string, string> = {}) =>
    doctor({ ...system.env, DATA_DIR: system.dataDir, ...env }, ['--public'])
  const isExposure = (finding: string) => finding.startsWith('FAIL ')

  test('finds no exposure with deploy/public.env, and the edge serves users with a token through a proxy', async () => {
    await eventually(async () => {
      const report = await inspect()
      expect(report.of('public').filter(isExposure)).toEqual([])
      expect([report.status, report.of('public').length]).toEqual([0, 12])
    })
    const play = async (headers: Record<string, string>) => {
      const forwarded = { 'x-forwarded-for': '198.51.100.7', ...headers }
      return fetch(`${system.play.url}/play/asset/456`, { method: 'POST', headers: forwarded })
    }
    expect((await play({})).status).toBe(401)
    const played = await play({ authorization: `Bearer ${await provider.issue('alice')}` })
    expect([played.status, await played.json()]).toMatchObject([200, { id: '456' }])
    expect(played.headers.get('ratelimit-policy')).toBe('"client";q=600;w=60, "user";q=60;w=60')
  })

  test.each(EXPOSURES)(
    'reports the exposure "%s" of %s if the settings that prevent it are missing',
    async (line, name, names, others) => {
      const unset = Object.fromEntries(names.map((setting) => [setting, '']))
      const port = name === 'play' ? { OPS_PORT: String(await freePort()) } : {}
      const changed = { ...system.env, ...port, ...unset, ...others }
      await using exposed = await startService(name, changed)
      const url = toOrigin('127.0.0.1', Number(new URL(exposed.url).port))
      await eventually(async () => {
        const report = await inspect({ ...changed, [services[name].urlSetting]: url })
        const exposures = report.of('public').filter(isExposure)
        expect(exposures.map((finding) => /^FAIL ([\w-]+):/.exec(finding)?.[1])).toEqual([line])
        for (const setting of names) expect(exposures[0]).toContain(setting.replace(/_FILE$/, ''))
        expect(report.status).toBe(1)
      })
    },
  )

  test('reports the exposures "nats", "upstreams" and "database" if these connections are remote and unencrypted', async () => {
    for (const [line, changed] of DISTANT) {
      const report = await inspect(changed)
      expect(report.of('public').filter(isExposure)).toContainEqual(expect.stringMatching(`^FAIL ${line}: `))
    }
  })

  test('reports a file with views that other users can read', async () => {
    await using data = await createTempDirectory('public-edge-data')
    await chmod(data.path, 0o755)
    await writeFile(`${data.path}/old.sqlite`, '')
    await chmod(`${data.path}/old.sqlite`, 0o644)
    await eventually(async () => {
      const report = await inspect({ DATA_DIR: data.path })
      expect(report.of('public').filter(isExposure)).toEqual([expect.stringMatching(/^FAIL files: .*chmod -R go=/)])
    })
  })

  test('without --public, prints only the number of exposures, and no warning', async () => {
    await using open = await startSystem()
    await eventually(async () => {
      const report = await doctor({ ...open.env, DATA_DIR: open.dataDir })
      expect(report.of('public')).toEqual([
        'ok not safe for the internet: 7 exposures; npm run doctor -- --public lists them',
      ])
      expect(report.status).toBe(0)
    })
    expect(open.play.lines().join('\n')).not.toContain('Host refused')
  })
})
