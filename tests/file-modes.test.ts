import { chmod, readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { codeOf } from '../shared/runtime/error-code.ts'
import { startChild } from './harness/child.ts'
import { eventually } from './harness/eventually.ts'
import { natsVersion, pathWithNats } from './harness/nats-server.ts'
import { play } from './harness/plays.ts'
import { freePortRange } from './harness/ports.ts'
import { createTempDirectory } from './harness/temp-directory.ts'

/** Starts a script with a umask that restricts nothing. */
function startWithoutUmask(script: string, port: number, env: Record<string, string>) {
  const command = ['umask 000; exec "$0" "$@"', process.execPath, script, '--port', String(port)]
  const unset = { NATS_URL: '', WRITE_TOKEN: '', CONSUL_HTTP_ADDR: '', DATABASE_URL: '' }
  return startChild('bash', ['-c', ...command], {
    env: { ...unset, PATH: pathWithNats, CHECKPOINT_EVERY: '50ms', ...env },
  })
}

/** The files and directories in `directory` that users other than the owner can access, each with its mode. */
async function sharedIn(directory: string): Promise<string[]> {
  const names = ['', ...(await readdir(directory, { recursive: true }))]
  const modes = names.map(async (name) => [await modeOf(join(directory, name)), name] as const)
  return (await Promise.all(modes)).flatMap(([mode, name]) =>
    (mode & 0o077) === 0 ? [] : [`${mode.toString(8)} ${name}`],
  )
}

/** A file's permissions, or 0 if it is a temporary file that has been renamed since the directory was read. */
async function modeOf(path: string): Promise<number> {
  try {
    return (await stat(path)).mode & 0o777
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return 0
    throw error
  }
}

const playOnce = (port: number) =>
  eventually(async () => expect((await play(`http://127.0.0.1:${port}`, '456', 'private')).status).toBe(200))

const expectFiles = (directory: string, expected: string[]) =>
  eventually(async () => expect(await readdir(directory)).toEqual(expect.arrayContaining(expected)))

test("other users of the machine cannot access any of embedded mode's files, even one that an earlier release created", {
  timeout: 60_000,
}, async () => {
  await using directory = await createTempDirectory('modes')
  const DATA_DIR = join(directory.path, 'created', 'data')
  for (const run of ['first', 'second']) {
    const port = await freePortRange()
    await using child = startWithoutUmask('embedded/main.ts', port, { DATA_DIR })
    await playOnce(port)
    await expectFiles(DATA_DIR, [
      'events.sqlite',
      'events.sqlite-wal',
      'checkpoint-embedded.bin',
      'checkpoint-embedded.lock',
    ])
    expect([run, ...(await sharedIn(join(directory.path, 'created')))]).toEqual([run])
    // A killed process leaves the write-ahead log behind.
    await child.signal('SIGKILL')
    for (const name of await readdir(DATA_DIR)) await chmod(join(DATA_DIR, name), 0o644)
    await chmod(join(DATA_DIR, 'checkpoint-embedded.bin'), 0o600)
  }
})

test.skipIf(!natsVersion)(
  'other users of the machine cannot access any file in which npm start stores views, not even those of NATS',
  { timeout: 60_000 },
  async () => {
    await using directory = await createTempDirectory('modes')
    const DATA_DIR = join(directory.path, 'data')
    const port = await freePortRange()
    await using child = startWithoutUmask('scripts/start/main.ts', port, { DATA_DIR })
    await playOnce(port)
    const own = [
      `outbox-${port}.sqlite`,
      `outbox-${port}.socket`,
      'checkpoint-reporting.bin',
      'checkpoint-reporting.lock',
    ]
    await expectFiles(DATA_DIR, [...own, 'nats'])
    expect(await sharedIn(DATA_DIR)).toEqual([])
    await child.signal('SIGINT')
  },
)
