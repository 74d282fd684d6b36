import { after, before, type FileEdit, insertSorted, replace } from './edit.ts'
import type { NewService } from './new-service.ts'

const JOBS = /(?<=up\{job=~")[^"]+/g

/** The changes to existing files. */
export const edits: readonly FileEdit[] = [
  ['services.ts', (text, service) => before(text, /^\} as const satisfies /m, toEntry(service))],
  ['Procfile', (text, service) => before(text, /^reporting: /m, toProcess(service))],
  ['package.json', (text, { name }) => before(text, /(?<=\blayers": "depcruise .*) cdn /, ` ${name}`)],
  ['embedded/service.ts', toEmbedded],
  ['compose.yaml', toCompose],
  ['deploy/compose/prometheus.yml', (text, { name, port }) => text + toJob(name, `${name}:${port}`)],
  [
    'deploy/prometheus.yml',
    (text, { name, port }) =>
      after(text, /(?<=^# +services: \[).*(?=\]$)/m, `, ${name}`) + toJob(name, `127.0.0.1:${port}`),
  ],
  ['deploy/alerts.yml', (text, { name }) => text.replace(JOBS, (jobs) => `${jobs}|${name}`)],
  ['deploy/consul-policy.hcl', toConsulPolicy],
  ['.env.example', toEnvExample],
  ['README.md', toReadme],
]

function toEntry({ kind, name, port, urlSetting }: NewService): string {
  const isCatalogue = kind === 'catalogue'
  return `  ${name.includes('-') ? `'${name}'` : name}: {
    name: '${name}',
    port: ${port},
    urlSetting: '${urlSetting}',
    role: '${isCatalogue ? 'data of each asset' : 'nothing yet'}',
    whenDown: '${isCatalogue ? 'its data is unavailable' : 'plays are not affected'}',
  },
`
}

function toProcess({ kind, name, port }: NewService): string {
  // biome-ignore lint/suspicious/noTemplateCurlyInString: expanded by the shell
  const nats = 'env NATS_URL="${NATS_URL:-$([ "$NATS_URL_FILE" ] || echo nats://127.0.0.1:4222)}" '
  return `${name}: exec ${kind === 'catalogue' ? nats : ''}node_modules/.bin/node ${name}/main.ts --port ${port}\n`
}

function toEmbedded(text: string, { kind, name, identifier }: NewService): string {
  const entry = name.includes('-') ? `services['${name}']` : `services.${name}`
  const invalidations = kind === 'catalogue' ? ', invalidations' : ''
  const start = `    await ${identifier}.start(await open(${entry}), settingsOf(${entry})${invalidations})\n`
  const imported = before(text, /^import .* from '\.\.\/services\.ts'$/m, toImport(identifier, name))
  return before(imported, /^ +const upstreams = /m, start)
}

function toImport(identifier: string, name: string): string {
  return `import { ${identifier} } from '../${name}/service.ts'\n`
}

function toJob(name: string, target: string): string {
  return `  - job_name: ${name}\n    static_configs:\n      - targets: ['${target}']\n`
}

function toCompose(text: string, service: NewService): string {
  const { name, port, urlSetting } = service
  const added = before(text, /^ {2}reporting:$/m, toContainer(text, service))
  const line = `      ${urlSetting}: http://${name}:${port}`
  return replace(added, /(?<=^ {2}operator:\n(?: {4}.*\n)*? {4}environment:\n)(?: {6}.*(?:\n(?= {6})|$))+/m, (block) =>
    insertSorted(block, line, (variable) => /^ +(\w+):/.exec(variable)?.[1]),
  )
}

/** For a catalogue, returns a copy of the cdnurl container. Otherwise, returns a container without dependencies. */
function toContainer(text: string, { kind, name }: NewService): string {
  const [cdnurl = ''] = /^ {2}cdnurl:\n(?:(?: {4}.*)?\n)+?(?= {2}\S)/m.exec(text) ?? []
  if (kind === 'catalogue' && cdnurl) return cdnurl.replaceAll('cdnurl', name)
  return `  ${name}:
    <<: *service
    command: [${name}]
    environment:
      NODE_OPTIONS: --max-old-space-size=24 --max-semi-space-size=1
    mem_limit: 64m
    networks: [backend]

`
}

function toConsulPolicy(text: string, { name }: NewService): string {
  const listed = after(text, /(?<=for service in )[\w -]+(?=; do)/, ` ${name}`)
  return before(listed, /^\nservice "SERVICE"/m, `service "${name}" { policy = "read" }\n`)
}

function toEnvExample(text: string, service: NewService): string {
  const line = `# ${service.urlSetting}=http://127.0.0.1:${service.port}\n`
  return withWrites(before(text, /^# PLAY_URL=/m, line), service)
}

function toReadme(text: string, service: NewService): string {
  const { kind, name, port, urlSetting } = service
  const path = `/${name}`
  const routes = {
    catalogue: `the same five routes under \`${path}\`: \`${path}/asset/:assetId\` \`{text}\`, \`${path}/assets\` | 200 \`{id,text}\` …`,
    empty: 'only the routes that all services have |',
  }
  const withRoutes = before(text, /^\| reporting `:\d+` \|/m, `| ${name} \`:${port}\` | ${routes[kind]} |\n`)
  const setting = `| \`${urlSetting}\` | \`http://127.0.0.1:${port}\` | URL of ${name} |\n`
  const withSetting = before(withRoutes, /^\| `PLAY_URL` \|/m, setting)
  return withWrites(
    replace(withSetting, /(?<=\/v1\/catalog\/services\n)\{.*?^\}$/ms, (json) => toRegistered(json, name)),
    service,
  )
}

/** Adds a service to the Consul output in the README, with the same version as play. */
function toRegistered(json: string, name: string): string {
  const registered: Record<string, string[]> = JSON.parse(json)
  const entries = Object.entries({ ...registered, [name]: registered.play })
  return JSON.stringify(Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1))), null, 4)
}

/** Adds a service to each list of services whose writes WRITE_TOKEN protects. */
function withWrites(text: string, { kind, name }: NewService): string {
  if (kind === 'empty') return text
  return text.replace(/^.*WRITE_TOKEN.*$|^# If set, writes to .*$/gm, (line) =>
    line.replace(/\bcdnurl((?:, [a-z-]+)*) and reporting\b/, `cdnurl$1, ${name} and reporting`),
  )
}
