import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chown, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { delimiter, join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { isFree } from '../scripts/start/free-port.ts'
import { postAsset } from './harness/assets.ts'
import { startChild } from './harness/child.ts'
import { hasNjs } from './harness/edges.ts'
import { eventually } from './harness/eventually.ts'
import { natsVersion, pathWithNats, startNatsServer } from './harness/nats-server.ts'
import { createPath, npmStart, type Started } from './harness/npm-start.ts'
import { play, views } from './harness/plays.ts'
import { freePortRange } from './harness/ports.ts'
import { createTempDirectory } from './harness/temp-directory.ts'

/** Debian installs nginx in a directory that is only on root's PATH. */
const pathWithNginx = [pathWithNats, '/usr/sbin'].join(delimiter)
const clip = { id: 'clip', title: 'A clip', url: 'clips/orbits/index.m3u8' }

describe("npm start serves the demo catalogue's clips", () => {
  test.skipIf(!natsVersion || !hasNjs)('with nginx, if it is installed, and restarts it', async () => {
    await using started = await npmStart({ PATH: pathWithNginx })
    expect(started.child.lines.join('\n')).toContain(`cdn (nginx)     http://localhost:${started.edgePort + 5}\n`)
    expect(started.child.lines).toContain(`Add: npm run seed -- --port ${started.edgePort}, and press Play on the page`)
    await expectClip(started)
    expect((await fetch(started.cdn)).headers.get('server')).toBe('nginx')
    await expectRestarted(started, pidOf('nginx: master process', started.child.pid))
  })

  test.skipIf(!natsVersion || !hasNjs || process.getuid?.() !== 0)(
    'with nginx, even for a user without an entry in the passwd file',
    async () => {
      const uid = 54_321
      await using directory = await createTempDirectory('npm-start')
      await chown(directory.path, uid, uid)
      const edgePort = await freePortRange()
      const command = [process.execPath, 'scripts/start/main.ts', '--port', String(edgePort)]
      await using child = startChild('setpriv', [`--reuid=${uid}`, `--regid=${uid}`, '--clear-groups', ...command], {
        env: { PATH: pathWithNginx, DATA_DIR: directory.path, NATS_URL: '', CDN_BASE_URL: '', CDN_KEYS: '' },
      })
      await child.line((line) => line.startsWith('  cdn (nginx) ') || undefined)
      expect((await fetch(`http://127.0.0.1:${edgePort + 5}/`)).headers.get('server')).toBe('nginx')
    },
  )

  test.skipIf(!natsVersion || !hasNjs)('with nginx, even if another npm start uses the same DATA_DIR', async () => {
    await using directory = await createTempDirectory('npm-start')
    // Two instances may share a DATA_DIR only if they use the same NATS server.
    await using nats = await startNatsServer()
    const env = { PATH: pathWithNginx, DATA_DIR: directory.path, NATS_URL: nats.url }
    await using started = await npmStart(env)
    const edgePort = await freePortRange()
    await using _ = startChild(process.execPath, ['scripts/start/main.ts', '--port', String(edgePort)], {
      env: { ...env, CDN_BASE_URL: '', CDN_KEYS: '' },
    })
    await eventually(() => fetch(`http://127.0.0.1:${edgePort + 5}/`))
    await expectRestarted(started, pidOf('nginx: master process', started.child.pid))
  })

  test.skipIf(!natsVersion || !hasNjs)('with the Node edge, if nginx cannot write to DATA_DIR', async () => {
    await using directory = await createTempDirectory('npm-start')
    const file = join(directory.path, 'file')
    await writeFile(file, '')
    const edgePort = await freePortRange()
    await using child = startChild(process.execPath, ['scripts/start/main.ts', '--port', String(edgePort)], {
      env: { PATH: pathWithNginx, DATA_DIR: join(file, 'data'), NATS_URL: '', CDN_BASE_URL: '', CDN_KEYS: '' },
    })
    await child.ready(async () => {
      const response = await eventually(() => fetch(`http://127.0.0.1:${edgePort + 5}/`))
      expect([response.status, response.headers.get('server')]).toEqual([403, null])
    })
  })

  test.skipIf(!natsVersion)('with the Node edge, if there is no nginx, and restarts it', async () => {
    await using path = await createPath({ 'nats-server': which('nats-server', pathWithNats), env: '/usr/bin/env' })
    await using started = await npmStart({ PATH: path.path })
    expect(started.child.lines.join('\n')).toContain(`cdn             http://localhost:${started.edgePort + 5}\n`)
    await expectClip(started)
    await expectRestarted(started, pidOf('cdn/main.ts', started.child.pid))
  })

  test("with the Node edge in embedded mode's process", async () => {
    await using started = await npmStart({ PATH: '' })
    await expectClip(started)
  })

  test('with the keys in CDN_KEYS', async () => {
    await using started = await npmStart({ PATH: '', CDN_KEYS: 'mine:a-secret-of-the-user-1' })
    expect(new URL(await clipUrl(started)).pathname).toMatch(/^\/mine\//)
    await expectClip(started)
  })

  test('unless CDN_BASE_URL is set: play then signs for that CDN', async () => {
    const CDN_KEYS = 'mine:a-secret-of-the-user-1'
    await using started = await npmStart({ PATH: '', CDN_BASE_URL: 'https://cdn.example/films', CDN_KEYS })
    expect(await clipUrl(started)).toMatch(/^https:\/\/cdn\.example\/films\/mine\/\d+\/[\w-]{43}\/clips\/orbits\//)
    expect(await isFree(started.edgePort + 5)).toBe(true)
    expect(started.child.lines.join('\n')).not.toMatch(/^ {2}cdn /m)
  })

  test("unless the CDN edge's port is in use: npm start then exits with status 1", async () => {
    const edgePort = await freePortRange()
    await using server = createServer().listen(edgePort + 5, '127.0.0.1')
    await once(server, 'listening')
    await using child = startChild(process.execPath, ['scripts/start/main.ts', '--port', String(edgePort)], {
      env: { PATH: '', NATS_URL: '' },
    })
    expect(await child.ended).toBe(1)
    expect(child.lines).toEqual([expect.stringContaining(`port ${edgePort + 5}, which cdn needs, is already in use`)])
  })
})

/** Verifies that a clip needs a valid signature for its directory, and that other seeded URLs stay unsigned. */
async function expectClip(started: Started): Promise<void> {
  const url = await clipUrl(started)
  expect(url.startsWith(`${started.cdn}/`)).toBe(true)
  const get = (path: string) => eventually(() => fetch(new URL(path, url)))
  expect(await (await get('index.m3u8')).text()).toMatch(/^#EXTM3U/)
  expect((await get('360p-0.m4s')).status).toBe(200)
  expect((await get('../bounce/index.m3u8')).status).toBe(403)
  const { pathname } = new URL(url)
  expect((await fetch(started.cdn + pathname.replace(/\/[\w-]{43}\//, `/${'A'.repeat(43)}/`))).status).toBe(403)
  expect(await play(started.play.url, '456', '8')).toMatchObject({ body: { url: 'path/to/asset456.mp4' } })
}

async function clipUrl(started: Started): Promise<string> {
  await postAsset(started, clip)
  const { body } = await eventually(async () => {
    const played = await play(started.play.url, clip.id, 'viewer')
    expect(played.status).toBe(200)
    return played
  })
  return (body as { url: string }).url
}

/** Kills the CDN edge. Verifies that plays are counted while it is down, and that its URLs survive the restart. */
async function expectRestarted(started: Started, pid: number): Promise<void> {
  const url = await clipUrl(started)
  process.kill(pid, 'SIGKILL')
  expect(await play(started.play.url, '123', 'meanwhile')).toMatchObject({ status: 200 })
  await eventually(async () => expect(await views(started.reporting.url, 'user', 'meanwhile')).toBe(1))
  await started.child.line((line) => line.startsWith('npm start: cdn exited (SIGKILL); restarting in ') || undefined)
  await eventually(async () => expect((await fetch(url)).status).toBe(200))
}

function which(program: string, path: string): string {
  return spawnSync('which', [program], { encoding: 'utf8', env: { ...process.env, PATH: path } }).stdout.trim()
}

/** The id of the child process of `npm start` that runs a command. */
function pidOf(command: string, parent: number): number {
  const { stdout } = spawnSync('ps', ['-o', 'pid=,args=', '--ppid', String(parent)], { encoding: 'utf8' })
  const line = stdout.split('\n').find((line) => line.includes(command) && !line.includes('/bin/sh'))
  return Number(line?.trim().split(/\s+/)[0])
}
