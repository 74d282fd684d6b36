import { mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pino } from 'pino'
import { afterEach, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { sleep } from '../../shared/runtime/sleep.ts'
import { createTempDirectory } from '../../tests/harness/temp-directory.ts'
import { withRules } from './checkpoint-bytes.test-suite.ts'
import { encodeCheckpoint } from './checkpoint-encoder.ts'
import { type CheckpointFile, openCheckpointFile } from './checkpoint-file.ts'
import { type CountState, createCountState } from './count-state.ts'
import { freezeState } from './frozen-state.ts'

let directory: Awaited<ReturnType<typeof createTempDirectory>>
let logged: { level: number; msg: string }[]
beforeEach(async () => {
  directory = await createTempDirectory('checkpoint')
  logged = []
})
afterEach(() => directory[Symbol.asyncDispose]())

const log = pino({}, { write: (line: string) => logged.push(JSON.parse(line)) })
const open = () => openCheckpointFile(join(directory.path, 'checkpoint'), log)
const bin = () => join(directory.path, 'checkpoint.bin')
const never = new AbortController().signal
const warnings = () => logged.filter(({ level }) => level > 30).map(({ msg }) => msg)
const names = async () => (await readdir(directory.path)).filter((name) => !name.includes('.lock'))

test('a checkpoint is loaded as it was written, and is readable only by its owner', async () => {
  using file = await open()
  expect(await file.load(never)).toBeUndefined()
  const size = await save(file, stateOf(3))
  expect((await stat(bin())).size).toBe(size)
  expect((await stat(bin())).mode & 0o777).toBe(0o600)
  await save(file, stateOf(5))
  expect((await file.load(never))?.counts.user.get('u')).toBe(5)
  expect(await names()).toEqual(['checkpoint.bin'])
  expect(warnings()).toEqual([])
})

test('a write that fails or is aborted leaves only the previous checkpoint behind', async () => {
  using file = await open()
  await save(file, stateOf(3))
  function* failing() {
    yield Buffer.from('half')
    throw new Error('no space left on device')
  }
  await expect(file.write(failing(), never)).rejects.toThrow('no space left')
  await expect(save(file, stateOf(4), AbortSignal.abort())).rejects.toThrow('aborted')
  expect((await file.load(never))?.counts.user.get('u')).toBe(3)
  expect(await names()).toEqual(['checkpoint.bin'])
})

test('encoding does not block the event loop, even if it yields only empty chunks', async () => {
  using file = await open()
  let turns = 0
  let next = setImmediate(function count() {
    turns += 1
    next = setImmediate(count)
  })
  onTestFinished(() => clearImmediate(next))
  const turnsAtChunks: number[] = []
  function* slow() {
    for (let n = 0; n < 10; n += 1) {
      const startedAt = performance.now()
      while (performance.now() - startedAt < 15);
      turnsAtChunks.push(turns)
      yield Buffer.alloc(0)
    }
  }
  await file.write(slow(), never)
  expect(new Set(turnsAtChunks).size).toBe(10)
})

test("a killed process's incomplete file is removed, and its last complete checkpoint is loaded", async () => {
  {
    using file = await open()
    await save(file, stateOf(3))
  }
  await writeFile(join(directory.path, 'checkpoint.tmp'), 'half')
  using file = await open()
  expect((await file.load(never))?.counts.user.get('u')).toBe(3)
  expect(await names()).toEqual(['checkpoint.bin'])
})

describe('a file that cannot be read', () => {
  test.each([
    ['is corrupt', async () => damage(await readFile(bin())), 'corrupt'],
    ['is empty', async () => '', 'corrupt'],
    ['is not a checkpoint', async () => 'x'.repeat(1_000), 'corrupt'],
    ['has a newer version', async () => withVersion(await readFile(bin()), 3), 'unknown-version'],
  ])('because it %s is set aside with one log line', async (_, content, suffix) => {
    using file = await open()
    await save(file, stateOf(3))
    const bytes = Buffer.from(await content())
    await writeFile(bin(), bytes)
    expect(await file.load(never)).toBeUndefined()
    expect(warnings()).toEqual(['cannot use the checkpoint: it was set aside, and the log is counted from its start'])
    const [aside = ''] = await names()
    expect(aside).toMatch(new RegExp(`^checkpoint\\.bin\\.${suffix}-\\d+$`))
    expect(await readFile(join(directory.path, aside))).toEqual(bytes)
    await save(file, stateOf(4))
    expect((await file.load(never))?.counts.user.get('u')).toBe(4)
  })

  test('because it is a directory is set aside', async () => {
    using file = await open()
    await mkdir(bin())
    expect(await file.load(never)).toBeUndefined()
    await save(file, stateOf(4))
    expect((await file.load(never))?.counts.user.get('u')).toBe(4)
  })

  test.each([
    ['one of the last three corrupt files', 'corrupt', 3],
    ['from another version', 'VIEWCKPT'.padEnd(60), 5],
  ])('is kept for inspection if it is %s', async (_, content, kept) => {
    using file = await open()
    for (let n = 0; n < 5; n += 1) {
      await writeFile(bin(), `${content} ${n}`)
      await file.load(never)
      // Each file name ends with the time in milliseconds, so the files must be set aside at different times.
      await sleep(2)
    }
    const contents = await Promise.all((await names()).map((name) => readFile(join(directory.path, name), 'utf8')))
    expect(contents.toSorted()).toEqual([0, 1, 2, 3, 4].slice(-kept).map((n) => `${content} ${n}`))
  })
})

test('a checkpoint whose views were judged by other rules is rejected, and stays in place', async () => {
  using file = await open()
  await file.assertRules('v1')
  await save(file, stateOf(3))
  const foreign = withRules(await readFile(bin()), 'v0')
  await writeFile(bin(), foreign)
  const refused = { name: 'StartError', message: expect.stringContaining('view rules v0') }
  await expect(file.assertRules('v1')).rejects.toMatchObject(refused)
  await expect(file.load(never)).rejects.toMatchObject(refused)
  expect(await names()).toEqual(['checkpoint.bin'])
  await writeFile(bin(), damage(foreign))
  await file.assertRules('v1')
})

test('an aborted load leaves the checkpoint in place', async () => {
  using file = await open()
  await save(file, stateOf(3))
  await expect(file.load(AbortSignal.abort())).rejects.toThrow('aborted')
  expect(await names()).toEqual(['checkpoint.bin'])
})

test('a second process cannot open the file until the first one has ended', async () => {
  const first = await open()
  await expect(open()).rejects.toMatchObject({
    name: 'StartError',
    message: `another process has locked ${join(directory.path, 'checkpoint.lock')}: each reporting needs its own DATA_DIR`,
  })
  first[Symbol.dispose]()
  using second = await open()
  expect(second.isReadOnly()).toBe(false)
})

test('in a read-only directory, the checkpoint is loaded but not written, and one line is logged', async () => {
  {
    using file = await open()
    await save(file, stateOf(3))
  }
  // Root bypasses file permissions, so the test creates a directory in place of the lock file.
  await rm(join(directory.path, 'checkpoint.lock'))
  await mkdir(join(directory.path, 'checkpoint.lock'))
  using file = await open()
  expect(file.isReadOnly()).toBe(true)
  expect((await file.load(never))?.counts.user.get('u')).toBe(3)
  await expect(save(file, stateOf(4))).rejects.toThrow()
  expect((await file.load(never))?.counts.user.get('u')).toBe(3)
  expect(warnings()).toEqual(['DATA_DIR is not writable: the counts are not saved'])
})

function stateOf(views: number): CountState {
  const state = createCountState()
  state.counts.user.restore('u', views)
  return state
}

async function save(file: CheckpointFile, state: CountState, signal = never): Promise<number> {
  await using frozen = freezeState(state)
  return await file.write(encodeCheckpoint(frozen), signal)
}

function damage(bytes: Buffer): Buffer {
  bytes.writeUInt8(bytes.readUInt8(bytes.length - 40) ^ 1, bytes.length - 40)
  return bytes
}

function withVersion(bytes: Buffer, version: number): Buffer {
  bytes.writeUInt32LE(version, 8)
  return bytes
}
