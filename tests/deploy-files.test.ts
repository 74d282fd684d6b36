import { spawnSync } from 'node:child_process'
import { cpSync, globSync, readFileSync, writeFileSync } from 'node:fs'
import { userInfo } from 'node:os'
import { join, matchesGlob } from 'node:path'
import { parseEnv } from 'node:util'
import { describe, expect, test } from 'vitest'
import { parse, stringify } from 'yaml'
import { canFlushAlways } from '../scripts/nats-server.ts'
import { hasNjs } from './harness/edges.ts'
import { findUnknownSettings } from './harness/image-programs.ts'
import { hasKubectl } from './harness/kubernetes-manifests.ts'
import { natsProgram, natsVersion } from './harness/nats-server.ts'
import { env, hasNginx, toMainConfig } from './harness/nginx.ts'
import { hasPromtool } from './harness/prometheus-server.ts'
import { createTempDirectory } from './harness/temp-directory.ts'

const hasFlushingNats = natsVersion !== undefined && canFlushAlways(natsVersion)

/** The values that `npm run cdn -- nginx` fills in. */
const CDN_VALUES: Record<string, string> = {
  KEYS: 'keys.json',
  LISTEN: '127.0.0.1:8085',
  LOG: 'access.log',
  MODULES: '/usr/lib/nginx/modules',
  ROOT: 'media',
  STATE: '.',
  USER: userInfo().username,
  VERIFIER: 'cdn',
}

/**
 * Each entry: a file, a command that checks it in a copy of the directory, whether the command can run, and a mistake
 * that it must find (the original text and its replacement). Other tests verify that the unchanged files pass.
 */
const VALIDATED = [
  ['prometheus.yml', 'promtool check config prometheus.yml', hasPromtool, 'rule_files:', 'rules_files:'],
  ['alerts.yml', 'promtool check rules alerts.yml', hasPromtool, 'expr:', 'exp:'],
  ['alerts.test.yml', 'promtool test rules alerts.test.yml', hasPromtool, 'eval_time:', 'eval_times:'],
  [
    'compose/prometheus.yml',
    'promtool check config --syntax-only compose/prometheus.yml',
    hasPromtool,
    'targets:',
    'target:',
  ],
  [
    'kubernetes/prometheus.yml',
    'promtool check config --syntax-only kubernetes-prometheus.yml',
    hasPromtool,
    'regex:',
    'regexp:',
  ],
  ['nats.conf', `${natsProgram} -t -c nats.conf`, hasFlushingNats, 'sync_interval', 'sync_intervall'],
  [
    'gateway/nginx.conf',
    'nginx -t -p . -e stderr -c gateway.conf',
    hasNginx,
    'proxy_connect_timeout',
    'proxy_connect_timeouts',
  ],
  ['cdn/nginx.conf', 'nginx -t -p . -e stderr -c cdn.conf', hasNjs, 'js_preload_object', 'js_preload_objects'],
  [
    'kubernetes/base/kustomization.yaml',
    'kubectl kustomize kubernetes/overlays/demo',
    hasKubectl,
    'includeTemplates:',
    'includeTemplate:',
  ],
] as const

describe('in deploy,', () => {
  const files = globSync('deploy/**/*.*', { exclude: ['deploy/cdn/media'] }).concat('deploy/image/Dockerfile')
  const deploying = readFileSync('docs/deploying.md', 'utf8')
  const rows = [...deploying.matchAll(/^\| `(deploy\/[^`]+)` \| (.*) \|$/gm)]

  test.each(files)('docs/deploying.md names a check for %s', (file) => {
    const checks = rows.filter(([, pattern = '']) => matchesGlob(file, pattern)).map(([, , check]) => check)
    expect(checks).not.toEqual([])
  })

  test('every test that docs/deploying.md names exists', () => {
    const named = rows.flatMap(([, , check = '']) => [...check.matchAll(/[\w/.-]+\.test\.ts/g)].map(([path]) => path))
    expect(named).not.toEqual([])
    for (const path of new Set(named)) expect(globSync(path), path).toEqual([path])
  })

  describe.each(VALIDATED)('%s', (file, command, isInstalled, from, to) => {
    test.skipIf(!isInstalled)(
      `is checked by ${command.split(' ', 2).join(' ')}, which finds a misspelt key`,
      { timeout: 60_000 },
      async () => {
        await using directory = await createTempDirectory('deploy')
        const copy = directory.path
        cpSync('deploy', copy, { recursive: true, filter: (path) => !path.includes('media') })
        const text = readFileSync(join(copy, file), 'utf8')
        expect(text).toContain(from)
        writeFileSync(join(copy, file), text.replace(from, to))
        const { status, output } = validate(copy, command)
        expect(status).not.toBe(0)
        expect(output).toMatch(new RegExp(to.split(/[: ]/)[0] ?? ''))
      },
    )
  })

  test('public.env has only known settings', () => {
    const names = Object.keys(parseEnv(readFileSync('deploy/public.env', 'utf8')))
    expect(findUnknownSettings('doctor', names)).toEqual([])
    expect(findUnknownSettings('doctor', ['PLAYS_RATE'])).not.toEqual([])
  })

  test('the dashboard has only valid Grafana keys', () => {
    const text = readFileSync('deploy/grafana/play.json', 'utf8')
    expect(keysIn(JSON.parse(text)).difference(GRAFANA_KEYS)).toEqual(new Set())
    const misspelt = text.replace('"legendFormat"', '"legendFormats"')
    expect(keysIn(JSON.parse(misspelt)).difference(GRAFANA_KEYS)).toEqual(new Set(['legendFormats']))
  })
})

function validate(directory: string, command: string) {
  writeFileSync(join(directory, 'keys.json'), '{}')
  writeFileSync(join(directory, 'gateway.conf'), toMainConfig('include gateway/nginx.conf;'))
  const cdn = readFileSync(join(directory, 'cdn/nginx.conf'), 'utf8')
  writeFileSync(
    join(directory, 'cdn.conf'),
    cdn.replace(/\$\{([A-Z]+)\}/g, (_, name) => CDN_VALUES[name] ?? ''),
  )
  // Debian's promtool does not support kubernetes_sd_configs. tests/kubernetes.test.ts checks them with a schema.
  const prometheus = parse(readFileSync(join(directory, 'kubernetes/prometheus.yml'), 'utf8'))
  for (const job of prometheus.scrape_configs) delete job.kubernetes_sd_configs
  writeFileSync(join(directory, 'kubernetes-prometheus.yml'), stringify(prometheus))
  const [program = '', ...args] = command.split(' ')
  const { status, stdout, stderr } = spawnSync(program, args, {
    cwd: directory,
    env: { ...process.env, ...env },
    encoding: 'utf8',
  })
  return { status, output: stdout + stderr }
}

/** The keys of all objects, except numeric keys, which are values in value mappings. */
function keysIn(value: unknown): Set<string> {
  if (typeof value !== 'object' || value === null) return new Set()
  const keys = Array.isArray(value) ? [] : Object.keys(value).filter((key) => !/^\d+$/.test(key))
  return Object.values(value).reduce((all: Set<string>, inner) => all.union(keysIn(inner)), new Set(keys))
}

/** The keys that the dashboard uses from https://grafana.com/docs/grafana/latest/dashboards/build-dashboards/view-dashboard-json-model/ */
const GRAFANA_KEYS = new Set(
  `__requires allValue annotations builtIn collapsed color current custom datasource defaults definition description
  displayMode editable enable expr fieldConfig fillOpacity from graphTooltip gridPos group h hide iconColor id includeAll
  index label legend legendFormat lineWidth links list mappings max mergeValues min mode multi name options overrides
  panels placement query refId refresh regex rowHeight schemaVersion showLegend showPoints showValue sort stacking step
  steps tagKeys tags targets templating text thresholds thresholdsStyle time timepicker timezone title titleFormat to
  tooltip type uid unit value version w x y`.split(/\s+/),
)
