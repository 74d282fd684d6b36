import { copyFile, mkdtemp, readdir, rm, stat } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { toReason } from '../../shared/runtime/reason.ts'
import { lookTwice } from './again.ts'
import { ask, metricOf } from './ask.ts'
import { many } from './counting.ts'
import { fail, type Line, ok, warn } from './line.ts'

const NAME = 'outbox'
/** What is copied into the temp folder, to be read there. It holds a million views and more. */
const MAX_COPIED_BYTES = 512 * 1024 * 1024
const CONNECT_MS = 500

/** The outbox of a play that runs, as its metrics show it; its `/readyz` tells where the disk does not work. */
export async function examineOutbox(play: string): Promise<Line[]> {
  const look = async () => metricOf(await ask(play, '/metrics'), 'outbox_waiting_views')
  const { first, second } = await lookTwice(look, (waiting) => waiting !== undefined && waiting > 0)
  if (first === undefined) return []
  if (first === 0 || second === 0) return [ok(NAME, `${play} has no view waiting`)]
  const waits = `${play} has ${many(second ?? first, 'view')} waiting`
  if (second !== undefined && second < first) return [warn(NAME, `${waits}, on their way to the log: wait`)]
  return [fail(NAME, `${waits}, which the log does not take: see to NATS, and they are brought there by themselves`)]
}

/**
 * Files of plays that do not run, and hold views. A play that runs has its file to itself. Others are looked at in a
 * copy, because SQLite writes beside a file that it only reads.
 */
export async function examineOutboxFiles(folder: string, plays: string[]): Promise<Line[]> {
  const hosts = ['127.0.0.1', ...plays.map((play) => new URL(play).hostname.replace(/^\[|\]$/g, ''))]
  const names = await readdir(folder).catch(() => [])
  const ports = names.flatMap((name) => /^outbox-(\d+)\.sqlite$/.exec(name)?.[1] ?? [])
  const lines = await Promise.all(ports.map((port) => examineFile(folder, Number(port), hosts)))
  return lines.flat()
}

async function examineFile(folder: string, port: number, hosts: string[]): Promise<Line[]> {
  const file = join(folder, `outbox-${port}.sqlite`)
  const answers = await Promise.all([...new Set(hosts)].map((host) => isListening(host, port)))
  if (answers.includes(true)) return []
  try {
    const waiting = await viewsIn(file)
    if (waiting === 0) return []
    const text = `${many(waiting, 'view')} in ${file}, and no play on its port`
    return [fail(NAME, `${text}: start one, which brings them to the log (node play/main.ts --port ${port})`)]
  } catch (error) {
    return [
      warn(
        NAME,
        `${file} cannot be read (${toReason(error)}): start a play on its port, or see whether its disk and its owner are right`,
      ),
    ]
  }
}

async function viewsIn(file: string): Promise<number> {
  const folder = await mkdtemp(join(tmpdir(), 'doctor-'))
  try {
    const copy = join(folder, 'outbox.sqlite')
    const { size } = await stat(file)
    if (size > MAX_COPIED_BYTES) throw new Error(`it has ${Math.round(size / 2 ** 20)} MiB, too much to look into`)
    await copyFile(file, copy)
    // What a play that was killed wrote last is in its write-ahead log.
    await copyFile(`${file}-wal`, `${copy}-wal`).catch(() => undefined)
    using db = new DatabaseSync(copy)
    return Number(db.prepare('SELECT coalesce(sum(count), 0) AS size FROM waiting').get()?.size)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

function isListening(host: string, port: number): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>()
  const socket = connect({ host, port, timeout: CONNECT_MS })
  socket.on('connect', () => resolve(true))
  for (const event of ['error', 'timeout']) socket.on(event, () => resolve(false))
  return promise.finally(() => socket.destroy())
}
