import { copyFile, mkdtempDisposable, readdir, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { toReason } from '../../shared/runtime/reason.ts'
import { about, type Finding, plural } from './finding.ts'
import { probe, sampleTwice, toMetric } from './probe.ts'

/** Enough for a million views. */
const MAX_COPY_MIB = 512

const { ok, warn, fail } = about('outbox')

/** Checks the outbox of a running play instance. A failing disk shows in the readiness of play. */
export async function* checkOutbox(play: string): AsyncGenerator<Finding> {
  const sample = async () => ({ backlog: toMetric(await probe(play, '/metrics'), 'outbox_waiting_views') })
  const { first, second } = await sampleTwice(sample)
  const text = `${play} has ${plural(first.backlog, 'view')} in its outbox`
  if (first.backlog === 0 || second?.backlog === 0) yield ok(`${play} has no views in its outbox`)
  else if (second && second.backlog < first.backlog) yield warn(`${text}, which is draining: wait until it is empty`)
  else if (second) yield fail(`${text}, and it is not draining: fix NATS; the outbox then drains automatically`)
}

/** Checks for views in the outboxes of play instances that are not running. */
export async function checkOutboxFiles(directory: string, plays: string[]): Promise<Finding[]> {
  const hosts = new Set(['127.0.0.1', ...plays.map((play) => new URL(play).hostname)])
  const names = await readdir(directory).catch(() => [])
  const checking = names.map(async (name) => {
    const port = /^outbox-(\d+)\.sqlite$/.exec(name)?.[1]
    if (!port) return []
    const probes = await Promise.all([...hosts].map((host) => probe(`http://${host}:${port}`, '/healthz', 500)))
    const isRunning = probes.some(({ outcome }) => outcome !== 'unreachable')
    return isRunning ? [] : Array.fromAsync(checkFile(join(directory, name), port))
  })
  return (await Promise.all(checking)).flat()
}

async function* checkFile(file: string, port: string): AsyncGenerator<Finding> {
  try {
    const views = await countViews(file)
    const text = `${plural(views, 'view')} in ${file}, but no play on its port`
    if (views > 0) yield fail(`${text}: start one to drain it (node play/main.ts --port ${port})`)
  } catch (error) {
    yield warn(`${file} is unreadable (${toReason(error)}): start a play on its port, or check its disk and owner`)
  }
}

/** Reads a copy, because SQLite creates files next to a database even when it only reads. */
async function countViews(file: string): Promise<number> {
  const sizeMib = Math.round((await stat(file)).size / 2 ** 20)
  if (sizeMib > MAX_COPY_MIB) throw new Error(`${sizeMib} MiB is too large to copy`)
  await using directory = await mkdtempDisposable(join(tmpdir(), 'doctor-'))
  const copy = join(directory.path, 'outbox.sqlite')
  await copyFile(file, copy)
  // The last writes of a killed process are in the write-ahead log.
  await copyFile(`${file}-wal`, `${copy}-wal`).catch(() => undefined)
  using db = new DatabaseSync(copy)
  return Number(db.prepare('SELECT coalesce(sum(count), 0) AS views FROM waiting').get()?.views)
}
