import { existsSync } from 'node:fs'
import { readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { serviceEntries } from '../services.ts'
import { jsonRequest } from '../shared/testing/json-request.ts'
import { BLOCK, copyProject } from './harness/guide.ts'
import { metric, play } from './harness/plays.ts'

const WRITE_TOKEN = 'the-token'

const guide = await readFile('docs/adding-a-service.md', 'utf8')
const otherGuide = await readFile('docs/adding-a-rule.md', 'utf8')

/** Name patterns of tests, keyed by file. These tests depend on the services or on files that the guide changes. */
const AFFECTED: Record<string, string[]> = {
  'rating/app.test.ts': ['is created, replaced and deleted', 'is not a valid number of stars'],
  'video-tags/app.test.ts': ['is alive and ready', 'describes its routes'],
  'play/aggregate.test.ts': ['a rating is optional'],
  'play/service.test.ts': ['contains the state of each dependency and circuit'],
  'tests/alerts.test.ts': ['promtool check rules'],
  'tests/compose.test.ts': ['has no problems', 'passes dclint', 'has every service', 'Prometheus scrapes each service'],
  'tests/console.test.ts': ['light colour scheme.+at 1280 px'],
  'tests/doctor.test.ts': ['if the system is healthy'],
  'tests/embedded.test.ts': [
    'is ready on its own port',
    'the same routes, metrics and circuits',
    'all services are up',
  ],
  'tests/errors.test.ts': ['(rating|video-tags): '],
  'tests/kubernetes.test.ts': ['runs every service'],
  'tests/openapi.test.ts': ['of rating has no lint findings', 'of (rating|video-tags) has a valid example'],
}

/** False if a service has been added, because a generated service would then not get the port that the guide shows. */
const isUnmodified = serviceEntries.length === 5

test('every code block in the guide names its file', () => {
  expect([...guide.matchAll(BLOCK)].length).toBe(guide.match(/^```(ts|diff)$/gm)?.length)
})

describe.skipIf(!isUnmodified)('npm run new-service', { timeout: 300_000 }, () => {
  let project: Awaited<ReturnType<typeof copyProject>>
  beforeAll(async () => {
    project = await copyProject()
  })
  afterAll(() => project?.[Symbol.asyncDispose]())

  const generate = (args: string) => project.run(`umask 022; node scripts/new-service/main.ts ${args}`)
  const modeOf = async (path: string) => ((await stat(join(project.directory, path))).mode & 0o777).toString(8)
  const readAll = () => project.passes("find . -type f -not -path './node_modules/*' -exec cksum {} + | sort")

  test.each([
    ['', 2, 'expected one NAME'],
    ['rating tags', 2, 'expected one NAME'],
    ['Rating', 2, '"Rating" is not a valid name'],
    ['metadata', 2, 'the name "metadata" cannot be used: a service with this name already exists'],
    ['rating --port 8085', 2, '--port is 8085, which cdn uses'],
    ['rating --empty --catalogue', 2, '--catalogue and --empty cannot be combined'],
  ])('refuses "%s" with status %i, and changes nothing', async (args, status, message) => {
    const before = await readAll()
    const lines = [expect.stringContaining(`npm run new-service: ${message}`)]
    expect(await generate(args)).toEqual({ status, lines })
    expect(await readAll()).toEqual(before)
  })

  test('reports a file that it cannot extend, and changes nothing', async () => {
    const file = join(project.directory, '.env.example')
    const text = await readFile(file, 'utf8')
    await writeFile(file, text.replace('# PLAY_URL=', '# EDGE_URL='))
    const before = await readAll()
    const lines = [expect.stringMatching(/cannot edit \.env\.example: .*\. Nothing was changed\.$/)]
    expect(await generate('rating')).toEqual({ status: 1, lines })
    expect(await readAll()).toEqual(before)
    await writeFile(file, text)
  })

  test('adds services that pass the check and the tests after the steps in the guide are done', async () => {
    expect(await generate('rating')).toMatchObject({ status: 0 })
    expect(await generate('video-tags --empty')).toMatchObject({ status: 0 })
    expect(await generate('rating')).toMatchObject({ status: 2 })
    expect(await modeOf('rating')).toBe('755')
    expect(await modeOf('rating/app.ts')).toBe('644')
    await project.apply(guide, otherGuide)
    await project.passesCheck()
    const affected = Object.entries(AFFECTED).filter(([file]) => existsSync(join(project.directory, file)))
    const names = affected.flatMap(([, names]) => names)
    const files = affected.map(([file]) => file)
    const lines = await project.passesTests(...files, '--reporter=verbose', `--testNamePattern='${names.join('|')}'`)
    for (const name of names)
      expect(
        lines.some((line) => new RegExp(`[✓↓].*${name}`).test(line)),
        name,
      ).toBe(true)
  })

  test('adds a working service: plays return its data, its cache reads are counted, and its writes need the token', async () => {
    const env = { DATA_DIR: 'data', WRITE_TOKEN }
    await using embedded = project.start(process.execPath, ['embedded/main.ts', '--port', '0'], env)
    const urlOf = (name: string) => embedded.line((line) => listeningUrl(name, line))
    const [edge, rating, tags] = await Promise.all([urlOf('play'), urlOf('rating'), urlOf('video-tags')])
    const [, command = '', body = ''] = /asset\/456 .* -d '(.*?)'\ncurl .*\n(\{.*\})\n/.exec(guide) ?? []
    const rate = (authorization: string) => {
      const request = jsonRequest(JSON.parse(command))
      return fetch(`${rating}/rating/asset/456`, { ...request, headers: { ...request.headers, authorization } })
    }
    expect((await rate('')).status).toBe(401)
    expect((await rate(`Bearer ${WRITE_TOKEN}`)).status).toBe(200)
    expect((await play(edge, '456', '8')).body).toEqual(JSON.parse(body))
    expect(await metric(edge, /^catalogue_cache_reads_total\{source="rating",outcome="miss"/)).toBe(1)
    expect((await fetch(`${tags}/readyz`)).status).toBe(200)
  })
})

function listeningUrl(name: string, line: string): string | undefined {
  if (!line.startsWith('{')) return undefined
  const { name: service, msg, url } = JSON.parse(line)
  return service === name && msg === 'listening' ? url : undefined
}
