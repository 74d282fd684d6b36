import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { eventually } from './harness/eventually.ts'
import { natsVersion } from './harness/nats-server.ts'
import { getJson } from './harness/plays.ts'
import { freePort } from './harness/ports.ts'
import { type ServiceProcess, startService } from './harness/service-process.ts'
import { type System, startSystem } from './harness/system.ts'

type Asset = { id: string; title: string; genre: string; summary: string; url: string }

const film = (fields: Partial<Asset> = {}): Asset => ({
  id: 'film',
  title: 'A film',
  genre: 'drama',
  summary: '',
  url: 'films/film.mp4',
  ...fields,
})

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'scripts-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

describe('npm run seed', { timeout: 30_000 }, () => {
  let metadata: ServiceProcess
  let cdnurl: ServiceProcess
  beforeAll(async () => {
    metadata = await startService('metadata')
    cdnurl = await startService('cdnurl')
  }, 30_000)
  afterAll(async () => {
    await metadata?.[Symbol.asyncDispose]()
    await cdnurl?.[Symbol.asyncDispose]()
  })

  const seed = (...args: string[]) => run('seed', args, { METADATA_URL: metadata.url, CDNURL_URL: cdnurl.url })
  const seedLines = async (...lines: string[]) => seed(await catalogueFile(lines))
  const metadataOf = (id: string) => getJson(`${metadata.url}/content/asset/${id}`)
  const urlOf = (id: string) => getJson(`${cdnurl.url}/url/asset/${id}`)

  async function expectSeeded({ url, ...fields }: Asset) {
    expect(await metadataOf(fields.id)).toEqual(fields)
    expect(await urlOf(fields.id)).toEqual({ id: fields.id, url })
  }

  test('posts a catalogue of films to both services, and says how far it is', async () => {
    const { status, stdout, stderr } = await seed()
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' })
    const films = (await readFile('scripts/catalogue.jsonl', 'utf8')).trim().split('\n')
    expect(films.length).toBeGreaterThanOrEqual(20)
    for (const line of films) await expectSeeded(JSON.parse(line))
    expect(stdout.trim().split('\n')).toHaveLength(4)
    expect(stdout).toMatch(new RegExp(`${films.length} of ${films.length} assets posted\n$`))
  })

  test('posts a file whose texts have quotes, backslashes, escapes and UTF-8', async () => {
    const odd = film({
      id: 'odd~1.x_y@z-',
      title: '"Quoted", \\"both\\\\ {"id":"x"} Häxan 映画 😀 $HOME `id` %s \n\t\u001b',
      summary: '"title":"',
    })
    const escaped = film({ id: 'escaped', title: 'Häxan / ☺' })
    const turned = film({ id: 'turned', title: 'url', genre: 'id' })
    const { status, stderr } = await seedLines(
      JSON.stringify(odd),
      '',
      String.raw`  { "id": "escaped" , "title":"H\u00e4xan \/ \u263a", "genre":"drama","summary":"","url":"films\/film.mp4" } `,
      JSON.stringify(Object.fromEntries(Object.entries(turned).reverse())),
    )
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' })
    for (const asset of [odd, escaped, turned]) await expectSeeded(asset)
  })

  test.each([
    ['id,title,genre,summary,url', 'not a JSON object of five strings: id, title, genre, summary, url'],
    ['{"id":"a","title":"t","genre":"g","summary":3,"url":"u"}', 'not a JSON object of five strings'],
    ['{"id":"a","title":"t","genre":"g","summary":"","url":"u"', 'not a JSON object of five strings'],
    ['{"id":"a","title":"t","genre":"g","summary":"","uri":"u"}', 'it has no "url"'],
    ['{"id":"a","title":"t","genre":"g","summary":"","summary":""}', 'it has no "url"'],
    ['{"id":"a/b","title":"t","genre":"g","summary":"","url":"u"}', 'the id "a/b" must be 1 to 128 of'],
  ])('names a line that it cannot read, and posts none: %s', async (line, message) => {
    const { status, stderr } = await seedLines(JSON.stringify(film({ id: 'unposted' })), '', line)
    expect(status).toBe(1)
    expect(stderr).toContain(`catalogue.jsonl, line 3: ${message}`)
    expect(stderr.trim()).not.toContain('\n')
    expect(await metadataOf('unposted')).toMatchObject({ status: 'Asset not found' })
  })

  test.each([
    ['metadata', film({ title: '' }), '"path":"title"'],
    ['cdnurl', film({ url: '//elsewhere/film.mp4' }), '"path":"url"'],
  ])('says what %s answers to a line that it refuses', async (service, asset, reason) => {
    const { status, stderr } = await seedLines(JSON.stringify(film({ id: 'fine' })), JSON.stringify(asset))
    expect(status).toBe(1)
    expect(stderr).toContain(`catalogue.jsonl, line 2: ${service} answers 400 {"status":"Invalid request"`)
    expect(stderr).toContain(reason)
  })

  test('sends the token that writes need', async () => {
    await using service = await startAcceptingService()
    const file = await catalogueFile([JSON.stringify(film())])
    const addresses = { METADATA_URL: `${service.url},http://other.invalid`, CDNURL_URL: service.url }
    expect(await run('seed', [file], { ...addresses, WRITE_TOKEN: 'a "token"' })).toMatchObject({ status: 0 })
    expect(await run('seed', [file], addresses)).toMatchObject({ status: 0 })
    expect(service.writes).toEqual([
      'POST /url/asset/film Bearer a "token"',
      'POST /content/asset/film Bearer a "token"',
      'POST /url/asset/film undefined',
      'POST /content/asset/film undefined',
    ])
  })

  test('names a service that is not up', async () => {
    const address = `http://127.0.0.1:${await freePort()}`
    const { status, stderr } = await run('seed', [], { METADATA_URL: metadata.url, CDNURL_URL: address })
    expect(status).toBe(1)
    expect(stderr).toBe(`seed: cdnurl does not answer at ${address}; npm start starts all services\n`)
  })
})

describe.skipIf(!natsVersion)('npm run simulate', { timeout: 60_000 }, () => {
  let system: System
  beforeAll(async () => {
    system = await startSystem()
    await eventually(async () => expect(await getJson(`${system.play.url}/readyz`)).toMatchObject({ status: 'ready' }))
  }, 60_000)
  afterAll(() => system?.[Symbol.asyncDispose]())

  const simulate = (...args: string[]) => run('simulate', args, { ...system.env, PLAY_URL: system.play.url })
  const top = async (by: string) => {
    const { top } = (await getJson(`${system.reporting.url}/events/top?by=${by}&limit=1000`)) as {
      top: { id: string; views: number }[]
    }
    return top
  }

  test('plays what is seeded, and prints the top list that reporting has once all is counted', async () => {
    // More than one page of metadata's list.
    const films = Array.from({ length: 120 }, (_, n) => film({ id: `film-${1_000 + n}`, title: `"Häxan" \\ ${n}` }))
    await Promise.all(films.map((asset) => publish(system, asset)))
    const { status, stdout, stderr } = await simulate('--views', '300', '--users=3')
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' })
    expect(stdout).toContain('300 of 300 assets played\n')
    expect(stdout).toContain('300 of 300 views counted\n')

    const users = await top('user')
    expect(users.map(({ id }) => id).sort()).toEqual(['user-1', 'user-2', 'user-3'])
    expect(users.reduce((sum, { views }) => sum + views, 0)).toBe(300)
    const assets = await top('asset')
    expect(assets.some(({ id }) => id > 'film-1100')).toBe(true)
    const titles = new Map([
      ['123', 'It'],
      ['456', 'Terminator'],
      ...films.map(({ id, title }) => [id, title] as const),
    ])
    expect(tableIn(stdout)).toEqual(assets.slice(0, 10).map(({ id, views }) => ({ id, views, title: titles.get(id) })))
  })

  test('says how many plays found no asset, and waits for the others alone', async () => {
    const unplayable = Array.from({ length: 120 }, (_, n) => `${system.metadata.url}/content/asset/unplayable-${n}`)
    await Promise.all(unplayable.map((url) => post(url, { title: 'Unplayable', genre: 'drama', summary: '' })))
    const { status, stdout } = await simulate('--views', '100')
    expect(status).toBe(0)
    const missing = Number(/^(\d+) plays found no asset \(404\)/m.exec(stdout)?.[1])
    expect(stdout).toContain(`${100 - missing} of ${100 - missing} views counted\n`)
  })

  test('names a service that is not up', async () => {
    const address = `http://127.0.0.1:${await freePort()}`
    const { status, stderr } = await run('simulate', [], { ...system.env, PLAY_URL: address })
    expect(status).toBe(1)
    expect(stderr).toBe(`simulate: play does not answer at ${address}; npm start starts all services\n`)
  })
})

describe('wrong use', { timeout: 30_000 }, () => {
  test.each([
    ['seed', ['--fast'], 'unknown flag --fast'],
    ['seed', ['missing.jsonl'], 'there is no file "missing.jsonl" that can be read'],
    ['seed', ['package.json', 'another'], 'there is one FILE at most, not also "another"'],
    ['simulate', ['--fast'], 'unknown argument --fast'],
    ['simulate', ['--views'], '--views is ""'],
    ['simulate', ['--views', '0'], '--views is "0"'],
    ['simulate', ['--views=1e3'], '--views is "1e3"'],
    ['simulate', ['--users', '10001'], '--users is "10001": it must be a whole number, 1 to 10000'],
  ])('%s %j ends with status 2 and one line that names it', async (script, args, message) => {
    const { status, stdout, stderr } = await run(script, args)
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' })
    expect(stderr).toMatch(/^.+\n$/)
    expect(stderr).toContain(`${script}: ${message}`)
  })

  test.each(['seed', 'simulate'])('%s names an address that is none', async (script) => {
    const { status, stderr } = await run(script, [], { METADATA_URL: 'localhost' })
    expect(status).toBe(2)
    expect(stderr).toContain('METADATA_URL is "localhost"')
  })

  test.each(['seed', 'simulate'])('%s --help shows the usage', async (script) => {
    const { status, stdout } = await run(script, ['--help'])
    expect(status).toBe(0)
    expect(stdout).toContain(`Usage: npm run ${script} [-- `)
  })
})

const noSettings = { METADATA_URL: '', CDNURL_URL: '', REPORTING_URL: '', PLAY_URL: '', WRITE_TOKEN: '' }

/** Runs a script as npm does, with nothing of the caller's settings. */
async function run(script: string, args: string[], env: Record<string, string> = {}) {
  const child = spawn('bash', [`scripts/${script}.sh`, ...args], {
    env: { ...process.env, ...noSettings, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: 25_000,
  })
  const [stdout, stderr, [status]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')])
  return { status: status as number | null, stdout, stderr }
}

async function catalogueFile(lines: string[]): Promise<string> {
  const path = join(folder, 'catalogue.jsonl')
  // No line end at the end, as editors may leave it.
  await writeFile(path, lines.join('\n'))
  return path
}

/** The rows under the heading of the top list. */
function tableIn(stdout: string) {
  const [, table = ''] = stdout.split(/^ +views {2}asset +title$/m)
  return Array.from(table.matchAll(/^ *(\d+) {2}(\S+) +(.*)$/gm), ([, views, id, title]) => ({
    id,
    views: Number(views),
    title,
  }))
}

async function publish({ metadata, cdnurl }: System, { id, url, ...fields }: Asset): Promise<void> {
  await post(`${metadata.url}/content/asset/${id}`, fields)
  await post(`${cdnurl.url}/url/asset/${id}`, { url })
}

async function post(url: string, body: object): Promise<void> {
  const headers = { 'content-type': 'application/json' }
  const response = await fetch(url, { method: 'POST', headers, body: JSON.stringify(body) })
  expect(response.status).toBe(200)
}

/** Answers 200 to everything and remembers each write with its authorization. */
async function startAcceptingService() {
  const writes: string[] = []
  const server = createServer(({ method, url, headers }, response) => {
    if (method === 'POST') writes.push(`${method} ${url} ${headers.authorization}`)
    response.end('{"status":"ok"}')
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    writes,
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      server.close()
      await once(server, 'close')
    },
  }
}
