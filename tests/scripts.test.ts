import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { text } from 'node:stream/consumers'
import { parseEnv } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startHttpServer } from '../shared/testing/http-server.ts'
import { eventually } from './harness/eventually.ts'
import { natsVersion } from './harness/nats-server.ts'
import { getJson, metric } from './harness/plays.ts'
import { freePort, freePortRange } from './harness/ports.ts'
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

let directory: string
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'scripts-'))
})
afterAll(() => rm(directory, { recursive: true, force: true }))

describe('npm run seed', () => {
  let metadata: ServiceProcess
  let cdnurl: ServiceProcess
  beforeAll(async () => {
    metadata = await startService('metadata')
    cdnurl = await startService('cdnurl')
  })
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

  test('posts a catalogue of films to metadata and cdnurl, and prints how many assets each stored', async () => {
    const { status, stdout, stderr } = await seed()
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' })
    const films = (await readFile('scripts/catalogue.jsonl', 'utf8')).trim().split('\n')
    expect(films.length).toBeGreaterThanOrEqual(20)
    for (const line of films) await expectSeeded(JSON.parse(line))
    expect(stdout).toBe(`cdnurl: ${films.length} assets stored\nmetadata: ${films.length} assets stored\n`)
  })

  test('posts a file with quotes, backslashes, escapes and UTF-8', async () => {
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

  test('reports each invalid line, and stores nothing', async () => {
    const lines = [film({ id: 'unposted' }), film({ id: 'a/"b"', url: '//elsewhere/film.mp4' })]
    const { status, stdout, stderr } = await seedLines(...lines.map((line) => JSON.stringify(line)), '', '[]')
    expect({ status, stdout }).toEqual({ status: 1, stdout: '' })
    expect(stderr).toBe(
      [
        `seed: cdnurl at ${cdnurl.url} returned 400 Invalid request`,
        '  line 2: id: must be 1 to 128 characters of A-Z a-z 0-9 . _ @ ~ - and start with a letter or digit',
        '  line 2: url: must be an http(s) URL or a relative path',
        '  line 4: must be a JSON object',
        '',
      ].join('\n'),
    )
    expect(await urlOf('unposted')).toMatchObject({ status: 'Asset not found' })
    expect(await metadataOf('unposted')).toMatchObject({ status: 'Asset not found' })
  })

  test('prints the lines that metadata rejects, after cdnurl has stored them', async () => {
    const { status, stdout, stderr } = await seedLines(JSON.stringify(film({ id: 'untitled', title: '' })))
    expect({ status, stdout }).toEqual({ status: 1, stdout: 'cdnurl: 1 asset stored\n' })
    expect(stderr).toMatch(
      new RegExp(`^seed: metadata at ${metadata.url} returned 400 Invalid request\n  line 1: title: `),
    )
  })

  test("prints a service's error messages verbatim, but no control characters", async () => {
    const errors = [
      { path: 'line 7: \\"title\\"', message: 'has "quotes", \\ and \u001b[31m' },
      { path: '', message: 'has no line' },
    ]
    await using service = await startFakeService(400, { status: 'Invalid request', errors, requestId: 'x' })
    const { status, stderr } = await run('seed', [], addressesOf(service.url))
    expect(status).toBe(1)
    expect(stderr).toBe(
      `seed: cdnurl at ${service.url} returned 400 Invalid request\n` +
        '  line 7: \\"title\\": has "quotes", \\ and \\u001b[31m\n  has no line\n',
    )
  })

  test('prints how many assets are stored when a service fails midway', async () => {
    await using service = await startFakeService(503, { status: 'Service unavailable', stored: 12, requestId: 'x' })
    const { status, stdout, stderr } = await run('seed', [], addressesOf(service.url))
    expect({ status, stdout }).toEqual({ status: 1, stdout: '' })
    expect(stderr).toBe(`seed: cdnurl at ${service.url} returned 503 Service unavailable, 12 assets stored\n`)
  })

  test('fails if a different server responds', async () => {
    await using server = await startFakeService(200, { status: 'ok' })
    expect(await run('seed', [], addressesOf(server.url))).toMatchObject({ status: 1, stdout: '' })
  })

  test('sends one request to each service, with the write token', async () => {
    await using service = await startFakeService()
    const file = await catalogueFile([JSON.stringify(film())])
    const addresses = { METADATA_URL: `${service.url}/, http://other.invalid`, CDNURL_URL: service.url }
    for (const WRITE_TOKEN of ['a"token" the-previous-one', '']) {
      expect(await run('seed', [file], { ...addresses, WRITE_TOKEN })).toMatchObject({ status: 0 })
    }
    expect(service.requests).toEqual(
      ['Bearer a"token"', undefined].flatMap((authorization) =>
        ['/url/assets', '/content/assets'].map((path) => ({
          path,
          authorization,
          type: 'application/x-ndjson',
          body: JSON.stringify(film()),
        })),
      ),
    )
  })

  test('does not expose the token to other users of the machine', async () => {
    const token = 'a-token-that-nobody-sees'
    const arguments_: string[] = []
    await using service = await startFakeService(200, { stored: 1 }, () => {
      arguments_.push(spawnSync('ps', ['-A', '-o', 'args='], { encoding: 'utf8' }).stdout)
    })
    await run('seed', [], { ...addressesOf(service.url), WRITE_TOKEN: token })
    expect(service.requests[0]?.authorization).toBe(`Bearer ${token}`)
    expect(arguments_.join('\n')).toContain('/url/assets')
    expect(arguments_.join('\n')).not.toContain(token)
  })

  test('reports an unreachable service', async () => {
    const address = `http://127.0.0.1:${await freePort()}`
    const { status, stderr } = await run('seed', [], { METADATA_URL: metadata.url, CDNURL_URL: address })
    expect(status).toBe(1)
    expect(stderr).toBe(`seed: cdnurl is not reachable at ${address}; npm start starts all services\n`)
  })
})

describe("the scripts' settings", () => {
  const unset = { METADATA_URL: undefined, CDNURL_URL: undefined, WRITE_TOKEN: undefined }

  async function seedWith(dotenv: string, args: string[] = [], env: Record<string, string> = {}) {
    const cwd = await mkdtemp(join(directory, 'cwd-'))
    await writeFile(join(cwd, '.env'), dotenv)
    return { cwd, ...(await run('seed', args, { ...unset, ...env }, cwd)) }
  }

  test('are read from .env', async () => {
    await using service = await startFakeService()
    const dotenv = `METADATA_URL=${service.url}\nCDNURL_URL=${service.url} # the same\nWRITE_TOKEN='a=b'\n`
    expect(await seedWith(dotenv)).toMatchObject({ status: 0, stderr: '' })
    expect(service.requests.map(({ path, authorization }) => [path, authorization])).toEqual([
      ['/url/assets', 'Bearer a=b'],
      ['/content/assets', 'Bearer a=b'],
    ])
  })

  test.each([
    'WRITE_TOKEN=plain',
    'WRITE_TOKEN = spaced  ',
    '  export WRITE_TOKEN=exported',
    'WRITE_TOKEN="double quoted # not a comment" # a comment',
    'WRITE_TOKEN=\'single "quoted"\'',
    'WRITE_TOKEN=`back ticks`',
    'WRITE_TOKEN=with=signs==',
    'WRITE_TOKEN=commented # a comment',
    'WRITE_TOKEN=tight#comment',
    'WRITE_TOKEN="open',
    'WRITE_TOKEN=windows\r',
    'WRITE_TOKEN=first\nWRITE_TOKEN=last',
    '# WRITE_TOKEN=no\nOTHER_WRITE_TOKEN=no\nWRITE_TOKEN_2=no',
    'WRITE_TOKEN=',
    'WRITE_TOKEN=""',
  ])('are read from .env exactly as Node reads them: %j', async (dotenv) => {
    await using service = await startFakeService()
    expect(await seedWith(`A=1\n${dotenv}\nB=2`, [], addressesOf(service.url))).toMatchObject({ status: 0 })
    const { WRITE_TOKEN } = parseEnv(dotenv)
    expect(service.requests[0]?.authorization).toBe(WRITE_TOKEN ? `Bearer ${WRITE_TOKEN.split(' ')[0]}` : undefined)
  })

  test('include the token in the file that WRITE_TOKEN_FILE names', async () => {
    await using service = await startFakeService()
    const file = join(directory, 'token')
    await writeFile(file, 'from-a-file\r\n')
    const { cwd } = await seedWith(`WRITE_TOKEN_FILE=${file}\n`, [], addressesOf(service.url))
    expect(service.requests[0]?.authorization).toBe('Bearer from-a-file')
    for (const settings of [{ WRITE_TOKEN_FILE: '/s3cr3t' }, { WRITE_TOKEN: 's3cr3t', WRITE_TOKEN_FILE: file }]) {
      const { status, stderr } = await run('seed', [], { ...addressesOf(service.url), ...settings }, cwd)
      expect([status, stderr]).toEqual([2, expect.stringMatching(/^seed: .*WRITE_TOKEN_FILE.*\n$/)])
      expect(stderr).not.toContain('s3cr3t')
    }
    expect(service.requests).toHaveLength(2)
  })

  test('are never executed as code', async () => {
    await using service = await startFakeService()
    const code = '$(touch\tran)`touch\tran`;touch\tran'
    const { cwd } = await seedWith(`WRITE_TOKEN="${code}"\ntouch ran\n`, [], addressesOf(service.url))
    expect(service.requests[0]?.authorization).toBe(`Bearer ${code}`)
    expect(await readdir(cwd)).toEqual(['.env'])
  })

  test('are taken from the environment rather than .env, even if empty', async () => {
    await using service = await startFakeService()
    const dotenv = 'METADATA_URL=http://other.invalid\nCDNURL_URL=http://other.invalid\nWRITE_TOKEN=other\n'
    await seedWith(dotenv, [], { ...addressesOf(service.url), WRITE_TOKEN: '' })
    expect(service.requests.map(({ path, authorization }) => [path, authorization])).toEqual([
      ['/url/assets', undefined],
      ['/content/assets', undefined],
    ])
  })

  test.each([['--port', 'N'], ['--port=N']])('are overridden by %s', async (...flag) => {
    const port = await freePortRange()
    await using metadata = await startFakeService(200, { stored: 1 }, undefined, port + 1)
    await using cdnurl = await startFakeService(200, { stored: 1 }, undefined, port + 3)
    const args = flag.map((text) => text.replace('N', String(port)))
    const elsewhere = { METADATA_URL: 'http://other.invalid', CDNURL_URL: 'http://other.invalid' }
    expect(await seedWith('CDNURL_URL=http://other.invalid', args, elsewhere)).toMatchObject({ status: 0 })
    expect(metadata.requests.map(({ path }) => path)).toEqual(['/content/assets'])
    expect(cdnurl.requests.map(({ path }) => path)).toEqual(['/url/assets'])
  })
})

test.each([
  ['127.0.0.2', '127.0.0.2'],
  ['0.0.0.0', '127.0.0.1'],
  ['::1', '[::1]'],
])('with HOST=%s, npm run seed calls the services at %s', async (HOST, host) => {
  const port = await freePortRange()
  const { status, stderr } = await run('seed', ['--port', String(port)], { HOST })
  expect([status, stderr]).toEqual([
    1,
    expect.stringContaining(`cdnurl is not reachable at http://${host}:${port + 3};`),
  ])
})

describe.skipIf(!natsVersion)('npm run simulate', () => {
  let system: System
  beforeAll(async () => {
    system = await startSystem()
    await eventually(async () => expect(await getJson(`${system.play.url}/readyz`)).toMatchObject({ status: 'ready' }))
  })
  afterAll(() => system?.[Symbol.asyncDispose]())

  const simulate = (...args: string[]) => run('simulate', args, { ...system.env, PLAY_URL: system.play.url })
  const top = async (by: string) => {
    const { top } = (await getJson(`${system.reporting.url}/events/top?by=${by}&limit=1000`)) as {
      top: { id: string; views: number }[]
    }
    return top
  }

  test("plays seeded assets, and prints reporting's top list once all views are counted", async () => {
    // More than one page of assets.
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

  test('sends each play with an idempotency key of its own, at the given rate', async () => {
    const plays = (outcome: string) =>
      metric(system.play.url, new RegExp(`^idempotent_plays_total{outcome="${outcome}"}`))
    const before = await plays('recorded')
    for (const _ of [1, 2]) expect(await simulate('--views', '20', '--users', '1')).toMatchObject({ status: 0 })
    expect(await plays('recorded')).toBe(before + 40)
    const startedAt = performance.now()
    expect(await simulate('--views', '25', '--rate', '10', '--users', '1')).toMatchObject({ status: 0 })
    // 25 plays at 10 per second: 10 at once, 10 after a second, and 5 after another second.
    expect(performance.now() - startedAt).toBeGreaterThan(2_000)
    expect(await plays('recorded')).toBe(before + 65)
    expect([await plays('retried'), await plays('reused')]).toEqual([0, 0])
  })

  test('reports how many plays found no asset, and waits only for the views of the other plays', async () => {
    const unplayable = Array.from({ length: 120 }, (_, n) => `${system.metadata.url}/content/asset/unplayable-${n}`)
    await Promise.all(unplayable.map((url) => post(url, { title: 'Unplayable', genre: 'drama', summary: '' })))
    const { status, stdout } = await simulate('--views', '100')
    expect(status).toBe(0)
    const missing = Number(/^(\d+) plays found no asset \(404\)/m.exec(stdout)?.[1])
    expect(stdout).toContain(`${100 - missing} of ${100 - missing} views counted\n`)
  })

  test('reports a service that is down', async () => {
    const address = `http://127.0.0.1:${await freePort()}`
    const { status, stderr } = await run('simulate', [], { ...system.env, PLAY_URL: address })
    expect(status).toBe(1)
    expect(stderr).toBe(`simulate: play is not reachable at ${address}; npm start starts all services\n`)
  })

  test("accepts the edge's port as --port", async () => {
    const port = await freePortRange()
    const { status, stderr } = await simulate('--port', String(port))
    expect(status).toBe(1)
    expect(stderr).toBe(`simulate: play is not reachable at http://127.0.0.1:${port}; npm start starts all services\n`)
  })
})

describe('on the command line', () => {
  test.each([
    ['seed', ['--fast'], 'unknown flag --fast'],
    ['seed', ['missing.jsonl'], 'cannot read the file "missing.jsonl"'],
    ['seed', ['scripts'], 'cannot read the file "scripts"'],
    ['seed', ['package.json', 'another'], 'expected at most one FILE, but got another: "another"'],
    ['seed', ['--port'], '--port is ""'],
    ['seed', ['--port', '80'], '--port is "80": it must be a port, 1024 to 60000'],
    ['seed', ['--port=60001'], '--port is "60001"'],
    ['simulate', ['--port', '1e4'], '--port is "1e4"'],
    ['simulate', ['--fast'], 'unknown argument --fast'],
    ['simulate', ['--views'], '--views is ""'],
    ['simulate', ['--views', '0'], '--views is "0"'],
    ['simulate', ['--rate', '1001'], '--rate is "1001": it must be a whole number, 1 to 1000'],
    ['simulate', ['--views=1e3'], '--views is "1e3"'],
    ['simulate', ['--users', '10001'], '--users is "10001": it must be a whole number, 1 to 10000'],
  ])('%s %j exits with status 2 and one line that names the argument', async (script, args, message) => {
    const { status, stdout, stderr } = await run(script, args)
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' })
    expect(stderr).toMatch(/^.+\n$/)
    expect(stderr).toContain(`${script}: ${message}`)
  })

  test.each(['seed', 'simulate'])('%s reports an invalid address', async (script) => {
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

/** Runs a script as npm does, without the caller's settings. Variables in `env` that are undefined are not set. */
async function run(script: string, args: string[], env: Record<string, string | undefined> = {}, cwd = '.') {
  const child = spawn('bash', [resolve(`scripts/${script}.sh`), ...args], {
    env: { ...process.env, ...noSettings, ...env },
    cwd,
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: 25_000,
  })
  const [stdout, stderr, [status]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')])
  return { status: status as number | null, stdout, stderr }
}

async function catalogueFile(lines: string[]): Promise<string> {
  const path = join(directory, 'catalogue.jsonl')
  // No trailing newline, because some editors omit it.
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

function addressesOf(url: string) {
  return { METADATA_URL: url, CDNURL_URL: url }
}

type Received = { path: string | undefined; type: string | undefined; authorization: string | undefined; body: string }

/** Sends the same response to each request, and records the requests. */
async function startFakeService(status = 200, body: object = { stored: 1 }, onRequest = () => {}, port = 0) {
  const requests: Received[] = []
  const server = await startHttpServer(async (request, response) => {
    const { url: path, headers } = request
    onRequest()
    requests.push({
      path,
      type: headers['content-type'],
      authorization: headers.authorization,
      body: await text(request),
    })
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
  }, port)
  return {
    ...server,
    requests,
  }
}
