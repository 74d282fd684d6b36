import { copyFile, mkdtempDisposable, readdir, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { toReason } from '../../shared/runtime/reason.ts'
import { type Finding, fail, ok, plural, warn } from './finding.ts'
import { probe, sampleTwice, toMetric } from './probe.ts'

/** Maximum size of an outbox file to copy: enough for a million views. */
const MAX_COPY_MIB = 512

/** Checks the outboxes of running play instances, and the files of instances that are not running. */
export async function checkOutboxes(plays: string[], directory: string): Promise<Finding[]> {
  const hosts = [...new Set(['127.0.0.1', ...plays.map((play) => new URL(play).hostname)])]
  const files = await readdir(directory).catch(() => [])
  const checks = [...plays.map(checkRunning), ...files.map((file) => checkFile(join(directory, file), hosts))]
  return (await Promise.all(checks.map((check) => Array.fromAsync(check)))).flat()
}

/** Does not check the disk, because the readiness of play includes it. */
async function* checkRunning(play: string): AsyncGenerator<Finding> {
  const sample = async () => ({ backlog: toMetric(await probe(play, '/metrics'), 'outbox_waiting_views') })
  const { first, second = first } = await sampleTwice(sample)
  const text = `${play} has ${plural(first.backlog, 'view')} in its outbox`
  const drain = 'fix NATS; the outbox then drains automatically'
  if (second.backlog === 0) yield ok('outbox', `${play} has no views in its outbox`)
  else if (second.backlog < first.backlog) yield warn('outbox', `${text}, which is draining: wait until it is empty`)
  else if (first.backlog > 0) yield fail('outbox', `${text}, and it is not draining: ${drain}`)
}

async function* checkFile(file: string, hosts: string[]): AsyncGenerator<Finding> {
  const port = /^outbox-(\d+)\.sqlite$/.exec(basename(file))?.[1]
  if (!port) return
  const probes = await Promise.all(hosts.map((host) => probe(`http://${host}:${port}`, '/healthz', 500)))
  if (probes.some(({ outcome }) => outcome !== 'unreachable')) return
  try {
    const views = await countViews(file)
    const text = `${plural(views, 'view')} in ${file}, but no play on its port`
    if (views > 0) yield fail('outbox', `${text}: start one to drain the outbox (node play/main.ts --port ${port})`)
  } catch (error) {
    const remedy = 'start a play instance on its port, or check its disk and owner'
    yield warn('outbox', `${file} is unreadable (${toReason(error)}): ${remedy}`)
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
