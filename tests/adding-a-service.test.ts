import { readFile } from 'node:fs/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { jsonRequest } from '../shared/testing/json-request.ts'
import { BLOCK, follow } from './harness/guide.ts'
import { metric, play } from './harness/plays.ts'

const WRITE_TOKEN = 'the-token'

const guide = await readFile('docs/adding-a-service.md', 'utf8')

/** Test files that depend on the list of services or on the calls of a play. */
const AFFECTED = [
  ...['ratings/', 'play/aggregate', 'play/app', 'play/playback', 'play/service', 'console/'],
  ...['openapi', 'metrics', 'embedded', 'alerts', 'errors'].map((name) => `tests/${name}.test.ts`),
]

/** The names of affected tests in files that take too long to run completely. */
const AFFECTED_TESTS = {
  doctor: ['if the system is healthy', 'reports services that are not registered'],
  console: ['in a light colour scheme'],
  conformance: ['ratings responds as its OpenAPI document says'],
}

test('every block in the guide has a file name', () => {
  expect([...guide.matchAll(BLOCK)].length).toBe(guide.match(/^```(ts|diff)$/gm)?.length)
})

test('the guide changes at most eight existing files to add a service', async () => {
  const part = guide.slice(0, guide.indexOf("## Add it to play's response"))
  const changed = [...part.matchAll(BLOCK)].flatMap(([, file = '', kind]) => (kind === 'diff' ? [file] : []))
  expect(changed.length).toBeLessThanOrEqual(8)
  const [, listed = ''] = /This changes \w+ existing files: (.*?)\.\n\n/s.exec(part) ?? []
  expect([...listed.matchAll(/`([^`]+)`/g)].map(([, file]) => file)).toEqual(expect.arrayContaining(changed))
})

describe('the new service alone', { timeout: 120_000 }, () => {
  test('adds a service that passes the check and its tests', async () => {
    await using project = await follow(guide.slice(0, guide.indexOf("## Add it to play's response")))
    await project.passesCheck()
    await project.passesTests('ratings')
  })
})

describe('the whole guide', { timeout: 240_000 }, () => {
  let project: Awaited<ReturnType<typeof follow>>
  beforeAll(async () => {
    // Together with the other guide, because a check takes long.
    project = await follow(guide, await readFile('docs/adding-a-rule.md', 'utf8'))
  })
  afterAll(() => project?.[Symbol.asyncDispose]())

  test('passes the check', () => project.passesCheck())

  test('passes the tests', async () => {
    await project.passesTests(...AFFECTED)
    const files = Object.keys(AFFECTED_TESTS).map((name) => `tests/${name}.test.ts`)
    const names = Object.values(AFFECTED_TESTS).flat()
    const lines = await project.passesTests(...files, '--reporter=verbose', `--testNamePattern='${names.join('|')}'`)
    for (const name of names) expect(lines).toContainEqual(expect.stringMatching(`[✓↓].*${name}`))
  })

  test('adds stars to the response of a play, counts cache reads, and protects writes', async () => {
    const env = { DATA_DIR: 'data', WRITE_TOKEN }
    await using embedded = project.start(process.execPath, ['embedded/main.ts', '--port', '0'], env)
    const urlOf = (name: string) => embedded.line((line) => listeningUrl(name, line))
    const [edge, ratings] = await Promise.all([urlOf('play'), urlOf('ratings')])
    const [, command = '', body = ''] = /asset\/456 .* -d '(.*?)'\ncurl .*\n(\{.*\})\n/.exec(guide) ?? []
    const rate = (authorization: string) => {
      const request = jsonRequest(JSON.parse(command))
      return fetch(`${ratings}/rating/asset/456`, { ...request, headers: { ...request.headers, authorization } })
    }
    expect((await rate('')).status).toBe(401)
    expect((await rate(`Bearer ${WRITE_TOKEN}`)).status).toBe(200)
    expect((await play(edge, '456', '8')).body).toEqual(JSON.parse(body))
    expect(await metric(edge, /^catalogue_cache_reads_total\{source="ratings",outcome="miss"/)).toBe(1)
  })
})

function listeningUrl(name: string, line: string): string | undefined {
  if (!line.startsWith('{')) return undefined
  const { name: service, msg, url } = JSON.parse(line)
  return service === name && msg === 'listening' ? url : undefined
}
