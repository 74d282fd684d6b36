import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { cp, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { serviceEntries } from '../services.ts'

const { scripts } = JSON.parse(readFileSync('package.json', 'utf8'))
/** The files and folders that `npm run layers` checks. */
const PLACES: string[] = /\.mjs (.*)$/.exec(scripts.layers)?.[1]?.split(' ') ?? []

/** For each rule, a forbidden import: the importing file and the import path. */
const violations: Record<string, [file: string, imports: string]> = {
  'no-main': ['play/breach.ts', './main.ts'],
  'shared-is-independent': ['shared/http/breach.ts', '../../services.ts'],
  'services-are-independent': ['metadata/breach.ts', '../cdnurl/seed.ts'],
  'console-is-independent': ['console/breach.ts', '../play/playback.ts'],
  'cdn-is-independent': ['cdn/breach.ts', '../play/playback.ts'],
  'embedded-is-on-top': ['deploy/image/breach.ts', '../../embedded/service.ts'],
  'no-clients-in-apps': ['reporting/app.ts', '../shared/nats/link.ts'],
  'nats-in-shared': ['queue-listener/breach.ts', 'nats'],
  'no-test-code': ['play/production.ts', '../shared/testing/json-request.ts'],
  'no-circular': ['cdnurl/breach.ts', './breach.ts'],
  'layer-unknown': ['shared/breach.ts', './runtime/sleep.ts'],
  'layer-runtime': ['shared/runtime/breach.ts', '../contracts/ids.ts'],
  'layer-contracts': ['shared/contracts/breach.ts', '../runtime/sleep.ts'],
  'layer-tracing': ['shared/tracing/breach.ts', '../nats/connect.ts'],
  'layer-records': ['shared/records/breach.ts', '../tracing/tracing.ts'],
  'layer-signing': ['shared/signing/breach.ts', '../tracing/trace-context.ts'],
  'layer-nats': ['shared/nats/breach.ts', '../tracing/tracing.ts'],
  'layer-discovery': ['shared/discovery/breach.ts', '../service/service.ts'],
  'layer-event-log': ['shared/event-log/breach.ts', '../stores/store.ts'],
  'layer-stores': ['shared/stores/breach.ts', '../event-log/event-log.ts'],
  'layer-service': ['shared/service/breach.ts', '../http/errors.ts'],
  'layer-http': ['shared/http/other-breach.ts', '../client/balancer.ts'],
  'layer-client': ['shared/client/breach.ts', '../http/errors.ts'],
  'layer-live': ['shared/live/breach.ts', '../catalogue/invalidations.ts'],
  'layer-catalogue': ['shared/catalogue/breach.ts', '../live/reducer.ts'],
}

let directory: string
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'layers-'))
  for (const place of [...PLACES, 'package.json', 'tsconfig.json', '.dependency-cruiser.mjs']) {
    await cp(place, join(directory, place), { recursive: true })
  }
  await symlink(resolve('node_modules'), join(directory, 'node_modules'))
})
afterAll(() => rm(directory, { recursive: true, force: true }))

test('the code follows every rule', async () => {
  const { rules, broken } = await cruise()
  expect(rules).toEqual(Object.keys(violations).toSorted())
  expect(broken).toEqual([])
})

test('each rule catches a forbidden import', async () => {
  for (const [file, imports] of Object.values(violations)) {
    const path = join(directory, file)
    const code = await readFile(path, 'utf8').catch(() => '')
    // Type-only imports are checked too.
    await writeFile(path, `import type {} from '${imports}'\n${code}`)
  }
  expect((await cruise()).broken).toEqual(Object.keys(violations).toSorted())
})

test('shared/ mentions no service and no service route', async () => {
  const names = serviceEntries.map(({ name }) => name).join('|')
  const named = new RegExp(`(['"\`])[^'"\`\n]*\\b(${names}|/content|/url|/events)\\b[^'"\`\n]*\\1`)
  // Contracts and tests may mention services.
  const files = (await readdir('shared', { recursive: true })).filter((file) =>
    /^(?!contracts|testing).*(?<!\.test)\.ts$/.test(file),
  )
  const lines = files.map(async (file) => {
    const code = (await readFile(join('shared', file), 'utf8')).split('\n')
    return code
      .filter((line) => named.test(line) && !/\bexamples: /.test(line) && !/^\s*(\/?\*|\/\/|import )/.test(line))
      .map((line) => `${file}: ${line.trim()}`)
  })
  expect((await Promise.all(lines)).flat()).toEqual([])
})

type Rule = { name: string }
type Summary = { violations: { rule: Rule }[]; ruleSetUsed: { forbidden: Rule[] } }

async function cruise() {
  const depcruise = resolve('node_modules/.bin/depcruise')
  const args = ['--config', '.dependency-cruiser.mjs', '--output-type', 'json', ...PLACES]
  const options = { cwd: directory, maxBuffer: 64 * 2 ** 20 }
  const run = promisify(execFile)(process.execPath, [depcruise, ...args], options)
  // The exit status is the number of violations.
  const { stdout } = await run.catch((error: { stdout: string }) => error)
  const { violations, ruleSetUsed } = (JSON.parse(stdout) as { summary: Summary }).summary
  const names = (rules: Rule[]) => [...new Set(rules.map(({ name }) => name))].toSorted()
  return { rules: names(ruleSetUsed.forbidden), broken: names(violations.map(({ rule }) => rule)) }
}
