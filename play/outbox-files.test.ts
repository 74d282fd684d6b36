import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import { pino } from 'pino'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { NewView } from '../shared/event-log/event-log.ts'
import { startChild } from '../tests/harness/child.ts'
import { createOutboxFiles, type Orphan } from './outbox-files.ts'

let directory: string
let logged: { msg: string; file: string; aside?: string }[]
beforeEach(() => {
  logged = []
  directory = mkdtempSync(join(tmpdir(), 'outboxes-'))
})
afterEach(() => rmSync(directory, { recursive: true, force: true }))

const PORT = 8080
const FIRST = 'outbox-8080.sqlite'
const SECOND = 'outbox-8080-2.sqlite'
const view: NewView = { id: '1', assetId: '456', userId: '8', at: '2026-11-20T21:00:00.000Z', serial: 1 }

/** The outboxes as a separate process sees them. */
function openFiles() {
  const log = pino({}, { write: (line: string) => logged.push(JSON.parse(line)) })
  return createOutboxFiles({ directory, log })
}

/** The names of all outboxes, without the files that SQLite keeps next to them. */
const names = () =>
  readdirSync(directory)
    .filter((name) => name.endsWith('.sqlite'))
    .toSorted()
const pathOf = (name: string) => join(directory, name)
const namesOf = (orphans: Orphan[]) => orphans.map(({ file }) => file.slice(directory.length + 1))

/** Starts another process that opens this outbox, and puts one view into it. */
async function startOwner(file: string) {
  const script = `
    import { openOutboxFile } from './play/outbox-file.ts'
    const outbox = openOutboxFile(${JSON.stringify(file)})
    outbox.put('p', [${JSON.stringify(view)}])
    setInterval(() => outbox.size(), 1000)
    console.log('open')`
  const child = startModule(script)
  await child.line((line) => line === 'open' || undefined)
  return child
}

function startModule(script: string) {
  return startChild(process.execPath, ['--input-type=module', '--eval', script])
}

describe('each process on a port', () => {
  test('has its own file, and the first file has the name that earlier releases used', () => {
    using first = openFiles().claim(PORT)
    using second = openFiles().claim(PORT)
    first.put('p', [view])
    second.put('q', [view, view])
    expect([first.size(), second.size()]).toEqual([1, 2])
    expect(names()).toEqual([SECOND, FIRST])
  })

  test('reuses the first free file, with its views', () => {
    const files = openFiles()
    {
      using _ = files.claim(PORT)
      using second = files.claim(PORT)
      second.put('p', [view])
    }
    using _ = files.claim(PORT)
    using second = openFiles().claim(PORT)
    expect(second.first()).toMatchObject({ producer: 'p', views: [view] })
    expect(names()).toEqual([SECOND, FIRST])
  })

  test("does not open another process's file until that process is killed, even if it is suspended", async () => {
    await using owner = await startOwner(pathOf(FIRST))
    const files = openFiles()
    for (const signal of ['SIGCONT', 'SIGSTOP'] as const) {
      await owner.signal(signal)
      using outbox = files.claim(PORT)
      expect(outbox.size()).toBe(0)
      expect(await files.openOrphans()).toEqual([])
    }
    await owner.signal('SIGKILL')
    using outbox = files.claim(PORT)
    expect(outbox.first()).toMatchObject({ producer: 'p', views: [view] })
  })
})

describe('openOrphans() returns', () => {
  test('non-empty files of killed processes, regardless of their port', async () => {
    const owners = await Promise.all(['outbox-1.sqlite', 'outbox-2-7.sqlite'].map((name) => startOwner(pathOf(name))))
    {
      using _ = openFiles().claim(PORT)
    }
    for (const owner of owners) await owner.signal('SIGKILL')
    const orphans = await openFiles().openOrphans()
    expect(namesOf(orphans).toSorted()).toEqual(['outbox-1.sqlite', 'outbox-2-7.sqlite'])
    for (const { outbox, views } of orphans) {
      using _ = outbox
      expect(views).toBe(1)
      expect(outbox.first()).toMatchObject({ producer: 'p', views: [view] })
    }
  })

  test('a file that has only a predecessor', async () => {
    const files = openFiles()
    {
      using outbox = files.claim(PORT)
      outbox.setPredecessor({ producer: 'p', serial: 7 })
    }
    const [orphan] = await files.openOrphans()
    expect(orphan).toMatchObject({ views: 0 })
    expect(orphan?.outbox.predecessor()).toEqual({ producer: 'p', serial: 7 })
    orphan?.outbox[Symbol.dispose]()
  })

  test('each file to only one of several callers', async () => {
    {
      using outbox = openFiles().claim(PORT)
      outbox.put('p', [view])
    }
    const files = Array.from({ length: 4 }, openFiles)
    const found = (await Promise.all(files.map((each) => each.openOrphans()))).flat()
    expect(namesOf(found)).toEqual([FIRST])
    found[0]?.outbox[Symbol.dispose]()
  })

  test('a file that was empty, once it contains views', async () => {
    const [files, others] = [openFiles(), openFiles()]
    {
      using _ = others.claim(PORT)
    }
    for (let times = 0; times < 2; times += 1) expect(await files.openOrphans()).toEqual([])
    {
      using outbox = others.claim(PORT)
      outbox.put('p', [view])
      expect(await files.openOrphans()).toEqual([])
    }
    const orphans = await files.openOrphans()
    expect(namesOf(orphans)).toEqual([FIRST])
    orphans[0]?.outbox[Symbol.dispose]()
  })

  test('nothing if the directory does not exist, and does not create it', async () => {
    rmSync(directory, { recursive: true })
    expect(await openFiles().openOrphans()).toEqual([])
    expect(() => readdirSync(directory)).toThrow('ENOENT')
  })
})

describe('find()', () => {
  const soon = () => AbortSignal.timeout(2_000)
  const other = { ...view, id: '2' }
  const { serial: _, ...played } = view

  test('finds a view in the outbox of this process, of an ended process, and of another running process', async () => {
    const files = openFiles()
    using own = files.claim(1)
    own.put('p', [{ ...view, id: 'own' }, other])
    {
      using ended = openFiles().claim(2)
      ended.put('q', [{ ...view, id: 'ended' }])
    }
    await using _ = await startHolder(3, { ...view, id: 'running' })
    for (const id of ['own', 'ended', 'running']) expect(await files.find(id, soon())).toMatchObject({ ...played, id })
    expect(await files.find('unknown', soon())).toBeUndefined()
    expect(namesOf(await files.openOrphans())).toEqual(['outbox-2.sqlite'])
  })

  test('finds a view among many others, unless the signal is aborted', async () => {
    const files = openFiles()
    using outbox = files.claim(PORT)
    for (let n = 0; n < 300; n += 1) outbox.put('p', [{ ...view, id: `view-${n}` }])
    for (const id of ['view-0', 'view-150', 'view-299']) expect(await files.find(id, soon())).toMatchObject({ id })
    await expect(files.find('unknown', AbortSignal.abort())).rejects.toThrow('aborted')
  })

  test('finds a view in an outbox that another search has opened', async () => {
    {
      using ended = openFiles().claim(PORT)
      // A search reads fewer entries per page.
      for (let n = 0; n < 300; n += 1) ended.put('p', [{ ...view, id: `view-${n}` }])
    }
    const files = openFiles()
    for (let turns = 0; turns < 5; turns += 1) {
      const first = files.find('view-0', soon())
      for (let n = 0; n < turns; n += 1) await turn()
      expect(await Promise.all([first, files.find('view-0', soon())])).toMatchObject([
        { id: 'view-0' },
        { id: 'view-0' },
      ])
    }
  })

  test('fails if the directory cannot be read', async () => {
    directory = join(directory, 'file')
    writeFileSync(directory, '')
    await expect(openFiles().find(view.id, soon())).rejects.toThrow('ENOTDIR')
    expect(await openFiles().openOrphans()).toEqual([])
  })

  test('finds a view no matter which characters its id contains', async () => {
    const files = openFiles()
    using outbox = files.claim(PORT)
    const ids = ['"', '\\', '%', 'é😀', '","id":"x']
    outbox.put(
      'p',
      ids.map((id) => ({ ...view, id })),
    )
    for (const id of ids) expect(await files.find(id, soon())).toMatchObject({ id })
    expect(await files.find('x', soon())).toBeUndefined()
  })

  test('fails as soon as the signal aborts if a suspended process holds the outbox', async () => {
    await using holder = await startHolder(3, view)
    await holder.signal('SIGSTOP')
    await expect(openFiles().find(view.id, AbortSignal.timeout(100))).rejects.toThrow()
    await holder.signal('SIGCONT')
    expect(await openFiles().find(view.id, soon())).toMatchObject(played)
  })

  test("finds a view in a killed process's outbox, even if another process now holds the file", async () => {
    const killed = await startHolder(3, view)
    await killed.signal('SIGKILL')
    await using _ = await startHolder(3, other)
    for (const id of [view.id, other.id]) expect(await openFiles().find(id, soon())).toMatchObject({ id })
  })

  test('finds a view only in the process that holds its outbox, and logs a warning, if the path is too long for a socket', async () => {
    directory = join(directory, 'x'.repeat(90))
    const files = openFiles()
    using outbox = files.claim(PORT)
    outbox.put('p', [view])
    expect(logged).toMatchObject([{ msg: 'other processes cannot search this outbox' }])
    expect(await files.find(view.id, soon())).toMatchObject(played)
    await expect(openFiles().find(view.id, soon())).rejects.toThrow()
  })

  test("leaves another process's outbox locked", async () => {
    await using _ = await startHolder(3, view)
    const files = openFiles()
    for (let times = 0; times < 3; times += 1) await files.find(view.id, soon())
    expect(await files.openOrphans()).toEqual([])
    using second = files.claim(3)
    expect(second.size()).toBe(0)
  })
})

/** Starts another process that opens an outbox for this port, puts a view into it, and keeps it open. */
async function startHolder(port: number, added: NewView) {
  const script = `
    import { createOutboxFiles } from './play/outbox-files.ts'
    const log = { warn: console.log }
    const outbox = createOutboxFiles({ directory: ${JSON.stringify(directory)}, log }).claim(${port})
    outbox.put('p', [${JSON.stringify(added)}])
    setInterval(() => outbox.size(), 1000)
    console.log('open')`
  const child = startModule(script)
  await child.line((line) => line === 'open' || undefined)
  return child
}

describe('a corrupt file', () => {
  const CORRUPT = 'not a database'.repeat(20)
  beforeEach(() => writeFileSync(pathOf(FIRST), CORRUPT))

  const contentsSetAside = () => {
    const aside = readdirSync(directory).filter((name) => name.includes('.corrupt-'))
    return aside.map((name) => readFileSync(pathOf(name), 'utf8'))
  }

  test('is set aside and replaced, and one line is logged', () => {
    using outbox = openFiles().claim(PORT)
    outbox.put('p', [view])
    expect(names()).toEqual([FIRST])
    expect(contentsSetAside()).toEqual([CORRUPT])
    expect(logged).toMatchObject([{ msg: 'the outbox is corrupt; set aside', file: pathOf(FIRST) }])
    expect(readFileSync(logged[0]?.aside ?? '', 'utf8')).toBe(CORRUPT)
  })

  test('for another port is set aside too', async () => {
    expect(await openFiles().openOrphans()).toEqual([])
    expect(contentsSetAside()).toEqual([CORRUPT])
    expect(logged).toHaveLength(1)
  })

  test('that cannot be set aside is kept, and another file is used', () => {
    const { ino } = statSync(pathOf(FIRST))
    writeFileSync(pathOf(`${FIRST}.corrupt-${ino}`), 'in the way')
    using outbox = openFiles().claim(PORT)
    outbox.put('p', [view])
    expect(names()).toEqual([SECOND, FIRST])
    expect(readFileSync(pathOf(FIRST), 'utf8')).toBe(CORRUPT)
  })

  test('is set aside once if several processes find it at the same time', async () => {
    const go = pathOf('go')
    const script = `
      import { existsSync } from 'node:fs'
      import { createOutboxFiles } from './play/outbox-files.ts'
      const log = { error: () => console.log('set aside') }
      console.log('ready')
      while (!existsSync(${JSON.stringify(go)}));
      createOutboxFiles({ directory: ${JSON.stringify(directory)}, log }).claim(${PORT}).put('p', [${JSON.stringify(view)}])`
    await using stack = new AsyncDisposableStack()
    const claimants = [1, 2, 3].map(() => stack.use(startModule(script)))
    for (const claimant of claimants) await claimant.line((line) => line === 'ready' || undefined)
    writeFileSync(go, '')
    for (const claimant of claimants) expect(await claimant.ended).toBe(0)
    const lines = claimants.flatMap(({ lines }) => lines)
    expect(lines.filter((line) => line === 'set aside')).toHaveLength(1)
    expect(contentsSetAside()).toEqual([CORRUPT])
    const orphans = await openFiles().openOrphans()
    expect(orphans.reduce((sum, { views }) => sum + views, 0)).toBe(3)
    for (const { outbox } of orphans) outbox[Symbol.dispose]()
  })
})
