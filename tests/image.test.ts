import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { services } from '../services.ts'
import { type Container, startContainer } from './harness/container.ts'
import { expectCurrent } from './harness/counting.ts'
import { mapServices } from './harness/each-service.ts'
import { eventually } from './harness/eventually.ts'
import { buildImage, canBuildImage, type Image } from './harness/image.ts'
import { type NatsServer, natsVersion, startNatsServer } from './harness/nats-server.ts'
import { play, views } from './harness/plays.ts'
import { freePort, freePortRange, portNextTo, urlSettingsNextTo } from './harness/ports.ts'

const MAX_BYTES = 200_000_000
const USER = 10_001

describe.skipIf(!canBuildImage || !natsVersion)('the image', () => {
  let image: Image & AsyncDisposable
  let nats: NatsServer
  let system: Record<keyof typeof services, Container>
  const stack = new AsyncDisposableStack()

  beforeAll(async () => {
    image = stack.use(await buildImage())
    nats = stack.use(await startNatsServer())
    const edgePort = await freePortRange()
    const env = { ...urlSettingsNextTo(edgePort), NATS_URL: nats.url, HOST: '127.0.0.1' }
    system = await mapServices(async (name) => {
      const PORT = String(portNextTo(edgePort, name))
      return stack.use(await startContainer(image, [name], { ...env, PORT }))
    })
    await expectCurrent(system.reporting.url)
  }, 300_000)
  afterAll(() => stack.disposeAsync())

  const health = (container: Container, env: Record<string, string> = {}) => container.exec(image.healthCheck, env)
  const node = (script: string) => ['node', '--eval', script]

  test('is smaller than 200 MB', () => {
    expect(image.size).toBeGreaterThan(0)
    expect(image.size).toBeLessThan(MAX_BYTES)
  })

  test('names its version and revision in OCI labels', () => {
    const { version } = JSON.parse(readFileSync('package.json', 'utf8'))
    expect(image.labels['org.opencontainers.image.version']).toBe(version)
    const { stdout } = spawnSync('git', ['rev-parse', 'HEAD'], { encoding: 'utf8' })
    expect(image.labels['org.opencontainers.image.revision']).toBe(stdout.trim() || 'unknown')
    expect(image.labels['org.opencontainers.image.licenses']).toBe('MIT')
  })

  test('contains the pinned Node and no other program, not even a shell or a package manager', async () => {
    const paths = filesOf(image.root).filter((path) => !path.startsWith('app/'))
    const isExecutable = (path: string) => (statSync(join(image.root, path)).mode & 0o111) !== 0
    expect(paths.filter((path) => isExecutable(path) && !/\.so(\.\d+)*$/.test(path))).toEqual(['usr/local/bin/node'])
    const { devDependencies } = JSON.parse(readFileSync('package.json', 'utf8'))
    expect((await system.play.exec(['node', '--version'])).output.trim()).toBe(`v${devDependencies.node}`)
  })

  test('contains production dependencies only, and neither tests nor documents', () => {
    const { dependencies, devDependencies } = JSON.parse(readFileSync('package.json', 'utf8'))
    const installed = readdirSync(join(image.root, 'app/node_modules'))
    expect(installed).toContain('hono')
    expect(installed.filter((name) => name in devDependencies && !(name in dependencies))).toEqual([])
    const own = filesOf(image.root).filter((path) => path.startsWith('app/') && !path.includes('node_modules'))
    expect(own).toContain('app/LICENSE')
    expect(own.filter((path) => /\.(test|md|sh|png)|^app\/(tests|docs|\.)/.test(path))).toEqual([])
  })

  test('contains nothing that its user owns or may change, except /data and /tmp', () => {
    const isWritable = ({ uid, mode }: { uid: number; mode: number }) => uid === USER || (mode & 0o002) !== 0
    const names = readdirSync(image.root, { recursive: true, encoding: 'utf8' })
    const writable = names.filter((path) => isWritable(statSync(join(image.root, path))))
    expect(writable.filter((path) => !/^(proc|dev)/.test(path)).sort()).toEqual(['data', 'tmp'])
  })

  test('runs a service as PID 1 and uid 10001, without capabilities and without child processes', () => {
    const status = system.play.status()
    expect(status).toMatch(new RegExp(`^Uid:\\s${USER}\\s${USER}\\s${USER}\\s${USER}$`, 'm'))
    expect(status).toMatch(/^NSpid:\s\d+\s1$/m)
    expect(status).toMatch(/^CapEff:\s0+$/m)
    for (const container of Object.values(system)) expect(container.children()).toEqual([])
  })

  test('runs a service with a read-only root file system, in which only /data is writable', async () => {
    const write = (path: string) => system.play.exec(node(`fs.writeFileSync('${path}', '')`))
    expect((await write('/app/file')).output).toContain('EROFS')
    expect((await write('/tmp/file')).output).toContain('EROFS')
    expect(await write('/data/file')).toMatchObject({ status: 0 })
  })

  test('has a health check that exits with status 0 if the service is healthy', async () => {
    for (const container of Object.values(system)) expect(await health(container)).toMatchObject({ status: 0 })
  })

  test('has a health check that exits with status 1 if nothing listens, or the service hangs', async () => {
    const { cdnurl } = system
    const refused = await health(cdnurl, { PORT: String(await freePort()) })
    expect(refused).toMatchObject({ status: 1, output: expect.stringContaining('ECONNREFUSED') })
    await cdnurl.signal('SIGSTOP')
    const hanging = await health(cdnurl)
    await cdnurl.signal('SIGCONT')
    expect(hanging).toMatchObject({ status: 1, output: expect.stringContaining('no response') })
  })

  test('contains the complete console and API documents', async () => {
    for (const path of ['/', '/console/console.js', '/console/hls.js', '/docs', '/openapi.json', '/metrics']) {
      expect((await fetch(system.play.url + path)).status, path).toBe(200)
    }
  })

  test('rejects an unknown program with a usage error and status 2', async () => {
    const { status, output } = await system.play.exec([...image.entrypoint, 'plya'])
    expect(status).toBe(2)
    expect(output).toContain('Unknown program "plya"')
    for (const name of Object.keys(services)) expect(output).toContain(name)
  })

  test('contains a doctor that finds every service and NATS', async () => {
    const { output } = await system.play.exec([...image.entrypoint, 'doctor'])
    for (const name of [...Object.keys(services), 'nats']) expect(output).toMatch(new RegExp(`^ok +${name} `, 'm'))
  })

  test('contains a seed program that stores the demo catalogue', async () => {
    const { status, output } = await system.play.exec([...image.entrypoint, 'seed'])
    expect({ status, output }).toMatchObject({ status: 0, output: expect.stringContaining('"stored":26') })
  })

  test('counts every play exactly once even if play is killed', async () => {
    const playTimes = async (times: number) => {
      for (let i = 0; i < times; i += 1) expect((await play(system.play.url, '456', 'user')).status).toBe(200)
    }
    await playTimes(10)
    await system.play.signal('SIGKILL')
    await system.play.start()
    await eventually(() => playTimes(1))
    await playTimes(9)
    await eventually(async () => expect(await views(system.reporting.url, 'user', 'user')).toBe(20))
  })

  test('stops a service gracefully on SIGTERM to PID 1', async () => {
    for (const container of [system.play, system.reporting]) {
      await container.signal('SIGTERM')
      expect(await container.ended()).toBe(0)
    }
  })
})

/** The regular files below a directory. */
function filesOf(directory: string): string[] {
  const entries = readdirSync(directory, { recursive: true, withFileTypes: true })
  const files = entries.filter((entry) => entry.isFile()).map(({ parentPath, name }) => join(parentPath, name))
  return files.map((path) => path.slice(directory.length + 1))
}
