import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { z } from 'zod'
import { signerOf, signingSettings } from '../play/signing/settings.ts'
import { loadSettings } from '../shared/runtime/settings.ts'
import { findProblems, IMAGE, parseCompose, portsOf } from './harness/compose.ts'
import { startComposeCdn } from './harness/compose-cdn.ts'
import { serviceNames } from './harness/each-service.ts'
import { hasNjs } from './harness/edges.ts'
import { createTempDirectory } from './harness/temp-directory.ts'

const SECRETS = '/run/secrets'

const text = readFileSync('compose.yaml', 'utf8')
const compose = parseCompose(text)
const secrets = await createSecrets()

/** Mistakes in compose.yaml: the original text, its replacement, and the expected problem. */
const MISTAKES: [string, string, RegExp][] = [
  ['mem_limit: 64m', 'mem_limti: 64m', /schema: .*mem_limti/],
  ['healthcheck:', 'healthchek:', /schema: .*healthchek/],
  ['condition: service_healthy', 'condition: service_helthy', /schema: .*depends_on/],
  ['FED_BY_LOG:', 'FED_BY_LOGS:', /reporting: reporting has no setting FED_BY_LOGS/],
  ['CDNURL_URL:', 'CDN_URL:', /play: play has no setting CDN_URL/],
  ['command: [metadata]', 'command: [metdata]', /metadata: the image has no program metdata/],
  ['http://reporting:8082', 'http://reporting:8083', /play: nothing is reachable at REPORTING_URL/],
  ['http://reporting:8082', 'http://reportng:8082', /play: nothing is reachable at REPORTING_URL/],
  ["OPS_PORT: '9080'", "OPS_PORT: '9081'", /play: does not listen on its published port 9080/],
  ['networks: [backend, database]', 'networks: [database]', /nothing is reachable at REPORTING_URL/],
  ['/run/secrets/read/token', '/run/secrets/read/tokn', /play: READ_TOKEN_FILE is .*tokn/],
  ['- write-token:/run/secrets/write:ro', '- write-token:/run/secrets/writ:ro', /WRITE_TOKEN_FILE/],
  ['mem_limit: 100m', 'mem_limit: 101m', /the core may use \d+ MiB/],
  ['--max-old-space-size=48', '--max-old-space-size=320', /play: its heap does not fit/],
  ['--max-old-space-size=48', '--max-old-spce-size=48', /play: its heap does not fit/],
  ['read_only: true', 'read_only: false', /metadata: has more privileges/],
  ['no-new-privileges:true', 'no-new-privileges:false', /metadata: has more privileges/],
  ['stop_grace_period: 12s', 'stop_grace_period: 10s', /play: is killed before it has stopped/],
  ['host_ip: 127.0.0.1', 'host_ip: 0.0.0.0', /play: publishes 9080 on 0.0.0.0/],
  ['condition: service_healthy', 'condition: service_started', /play: does not wait until cdnurl is ready/],
]

describe('compose.yaml', () => {
  test('has no problems', () => {
    expect(findProblems(text, secrets)).toEqual([])
  })

  test.each(MISTAKES)('has a problem after the change %s → %s', (from, to, problem) => {
    expect(text).toContain(from)
    expect(findProblems(text.replace(from, to), secrets)).toContainEqual(expect.stringMatching(problem))
  })

  test('lets play accept only the host names that its clients use', () => {
    expect(compose.services.play?.environment).toMatchObject({
      ALLOWED_HOSTS: expect.stringMatching(/^\$\{ALLOWED_HOSTS:-play\}$/),
    })
  })

  test('passes dclint without warnings', () => {
    const { status, stdout } = spawnSync('npx', ['dclint', '--max-warnings', '0', 'compose.yaml'], { encoding: 'utf8' })
    expect({ status, stdout }).toMatchObject({ status: 0 })
  })

  test('has every service, and builds their shared image once', () => {
    for (const name of serviceNames) expect(compose.services[name]).toMatchObject({ image: IMAGE, command: [name] })
    expect(Object.values(compose.services).filter(({ build }) => build)).toHaveLength(1)
  })

  test('checks the health of all containers that other containers wait for', () => {
    const waitedFor = Object.values(compose.services).flatMap(({ depends_on = {} }) => Object.entries(depends_on))
    const healthy = waitedFor.flatMap(([name, { condition }]) => (condition === 'service_healthy' ? [name] : []))
    expect(new Set(healthy)).toEqual(new Set(['cdnurl', 'metadata', 'nats', 'postgres', 'queue-listener', 'reporting']))
    for (const name of healthy) expect(compose.services[name]?.healthcheck?.test?.[0]).toBe('CMD')
  })

  test("keeps play's outbox, the log and the counts in named volumes", () => {
    const mounted = Object.values(compose.services).flatMap(({ volumes = [] }) => volumes)
    for (const volume of ['outbox:/data', 'nats:/data', 'postgres:/var/lib/postgresql/data']) {
      expect(mounted).toContain(volume)
    }
  })

  test('mounts files that exist', () => {
    for (const { file } of Object.values(compose.configs)) expect(existsSync(file), file).toBe(true)
  })
})

describe('in deploy/compose,', () => {
  test('Prometheus scrapes each service at its metrics port, under the job name that the alerts use', () => {
    const { scrape_configs: jobs } = parse(readFileSync('deploy/compose/prometheus.yml', 'utf8'))
    const targets = jobs.map(({ job_name: job, static_configs: [{ targets }] }: Job) => [job, targets])
    const expected = serviceNames.map((name) => [name, [`${name}:${portsOf(name, compose.services[name]).at(-1)}`]])
    expect(Object.fromEntries(targets)).toEqual(Object.fromEntries(expected))
  })

  test.skipIf(spawnSync('promtool', ['--version']).status !== 0)('promtool accepts prometheus.yml', () => {
    execFileSync('promtool', ['check', 'config', '--syntax-only', 'deploy/compose/prometheus.yml'])
  })

  test('the Grafana provisioning files have only known keys', () => {
    const apiVersion = z.literal(1)
    const datasource = z.strictObject({ name: z.string(), type: z.string(), url: z.url(), isDefault: z.boolean() })
    const options = z.strictObject({ path: z.literal('/etc/grafana/dashboards') })
    const provider = z.strictObject({ name: z.string(), type: z.literal('file'), options })
    const read = (name: string) => parse(readFileSync(`deploy/compose/grafana-${name}.yml`, 'utf8'))
    z.strictObject({ apiVersion, datasources: z.array(datasource) }).parse(read('datasource'))
    z.strictObject({ apiVersion, providers: z.array(provider) }).parse(read('dashboards'))
  })
})

describe.skipIf(!hasNjs)('the cdn container', () => {
  test("serves the demo catalogue's clips under the URLs that play signs, and refuses others", async () => {
    await using secrets = await createTempDirectory('secrets')
    runSecrets(secrets.path)
    await using cdn = await startComposeCdn(compose, secrets.path)
    const { CDN_KEYS_FILE = '', CDN_PATHS = '' } = compose.services.play?.environment ?? {}
    const env = {
      CDN_BASE_URL: cdn.url,
      CDN_KEYS_FILE: CDN_KEYS_FILE.replace(SECRETS, secrets.path),
      CDN_PATHS,
    }
    const signer = await signerOf(loadSettings(signingSettings, { args: [], env }))
    const clips = readFileSync('scripts/catalogue.jsonl', 'utf8').matchAll(/"url":"([^"]+)"/g)
    const statusOf = async (url: string) => (await fetch(url)).status
    for (const path of new Set(Array.from(clips, ([, path = '']) => path))) {
      expect(path.startsWith(CDN_PATHS), path).toBe(true)
      expect(await statusOf(signer?.sign(path, Math.ceil(Date.now() / 1_000) + 60) ?? ''), path).toBe(200)
      expect(await statusOf(`${cdn.url}/${path}`), path).toBe(403)
    }
  })

  test('is published at the address for which play signs URLs', () => {
    const { ports = [] } = compose.services.cdn ?? {}
    const [published] = ports.map(({ published }) => published)
    expect(compose.services.play?.environment?.CDN_BASE_URL).toContain(`http://localhost:${published}}`)
  })
})

describe('the secrets', () => {
  test('are created once, and kept afterwards', async () => {
    await using directory = await createTempDirectory('secrets')
    runSecrets(directory.path)
    const read = () => filesOf(directory.path).map((path) => readFileSync(join(directory.path, path), 'utf8'))
    const created = read()
    expect(new Set(created).size).toBe(6)
    runSecrets(directory.path)
    expect(read()).toEqual(created)
  })

  test('include a database URL with the database password', async () => {
    await using directory = await createTempDirectory('secrets')
    runSecrets(directory.path)
    const [password, url] = ['password', 'url'].map((name) =>
      readFileSync(join(directory.path, 'database', name), 'utf8'),
    )
    expect(url).toBe(`postgres://counts:${password}@postgres:5432/counts`)
  })
})

type Job = { job_name: string; static_configs: [{ targets: string[] }] }

/** Runs the `secrets` container's command, and returns the paths at which other containers see the new files. */
async function createSecrets(): Promise<string[]> {
  await using directory = await createTempDirectory('secrets')
  runSecrets(directory.path)
  return filesOf(directory.path).map((path) => join(SECRETS, path))
}

function runSecrets(directory: string): void {
  const command = compose.services.secrets?.command.map((argument) => (argument === SECRETS ? directory : argument))
  execFileSync(process.execPath, ['deploy/image/main.ts', ...(command ?? [])])
}

function filesOf(directory: string): string[] {
  const entries = readdirSync(directory, { recursive: true, withFileTypes: true })
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(directory.length + 1))
}
