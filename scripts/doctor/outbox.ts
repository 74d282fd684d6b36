import { copyFile, mkdtempDisposable, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { portOfOutbox } from '../../play/outbox-files.ts'
import { services } from '../../services.ts'
import { toReason } from '../../shared/runtime/reason.ts'
import { probe } from '../http.ts'
import { plural } from '../plural.ts'
import { type Finding, findingsAbout } from './finding.ts'
import { sampleTwice, toMetric } from './metrics.ts'
import type { Instance } from './services.ts'
import type { System } from './system.ts'

const { ok, warn, fail } = findingsAbout('outbox')

/** Maximum size of an outbox file to copy: enough for a million views. */
const MAX_COPY_MIB = 512

/** Checks the outboxes of running play instances, and the files of instances that are not running. */
export async function checkOutboxes({ files, instances }: System): Promise<Finding[]> {
  const outboxes = files.filter((file) => portOf(file) !== undefined)
  const plays = instances.filter(({ service }) => service === services.play)
  const origins = plays.map(({ origin }) => origin)
  const checks = [
    ...plays.map((play) => checkRunning(play, outboxes)),
    ...outboxes.map((file) => checkFile(file, origins)),
  ]
  return (await Promise.all(checks.map((check) => Array.fromAsync(check)))).flat()
}

/** Does not check the disk, because play's readiness covers the disk. */
async function* checkRunning({ origin, operations }: Instance, files: string[]): AsyncGenerator<Finding> {
  const ownFiles = files.filter((file) => portOf(file) === Number(new URL(origin).port))
  const [first, second] = await sampleTwice(async () => {
    const reported = toMetric((await probe(`${operations}/metrics`)).text, 'outbox_waiting_views')
    // If several processes share a port, only one of them responds, so count the views in all their files.
    return { backlog: ownFiles.length > 1 ? Math.max(reported, await countAll(ownFiles)) : reported }
  })
  const text = `${origin} has ${plural(first.backlog, 'view')} in its outbox`
  const drain = 'fix NATS; the outbox then drains automatically'
  if (second.backlog === 0) yield ok(`${origin} has no views in its outbox`)
  else if (second.backlog < first.backlog) yield warn(`${text}, which is draining: wait until it is empty`)
  else if (first.backlog > 0) yield fail(`${text}, and it is not draining: ${drain}`)
}

async function* checkFile(file: string, plays: string[]): AsyncGenerator<Finding> {
  const port = portOf(file)
  const hosts = new Set(['127.0.0.1', ...plays.map((play) => new URL(play).hostname)])
  if (await isAnyUp([...hosts].map((host) => `http://${host}:${port}`))) return
  try {
    const views = await countViews(file)
    if (views === 0) return
    const text = `${plural(views, 'view')} in ${file}, but no play is running on its port`
    const start = `start one to drain the outbox (npx node play/main.ts --port ${port})`
    const adopt = 'a play with this DATA_DIR adopts it within 5 s; if there is none,'
    yield (await isAnyUp(plays)) ? warn(`${text}: ${adopt} ${start}`) : fail(`${text}: ${start}`)
  } catch (error) {
    const remedy = 'start a play instance on its port, or check its disk and owner'
    yield warn(`${file} is unreadable (${toReason(error)}): ${remedy}`)
  }
}

function portOf(file: string): number | undefined {
  return portOfOutbox(basename(file))
}

async function isAnyUp(plays: string[]): Promise<boolean> {
  const probes = await Promise.all(plays.map((play) => probe(`${play}/healthz`, { timeoutMs: 500 })))
  return probes.some(({ outcome }) => outcome !== 'unreachable')
}

/** The number of views in these files. Skips files that are unreadable because their process is writing to them. */
async function countAll(files: string[]): Promise<number> {
  const counts = await Promise.all(files.map((file) => countViews(file).catch(() => 0)))
  return counts.reduce((sum, views) => sum + views, 0)
}

/** Reads a copy, because SQLite creates files next to a database even when it only reads. */
async function countViews(file: string): Promise<number> {
  const sizeMib = Math.round((await stat(file)).size / 2 ** 20)
  if (sizeMib > MAX_COPY_MIB) throw new Error(`${sizeMib} MiB is too large to copy`)
  await using directory = await mkdtempDisposable(join(tmpdir(), 'doctor-'))
  const copy = join(directory.path, 'outbox.sqlite')
  await copyFile(file, copy)
  // A killed process's last writes are in the write-ahead log.
  await copyFile(`${file}-wal`, `${copy}-wal`).catch(() => undefined)
  using db = new DatabaseSync(copy)
  return Number(db.prepare('SELECT coalesce(sum(count), 0) AS views FROM waiting').get()?.views)
}
