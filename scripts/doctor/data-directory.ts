import { stat, statfs } from 'node:fs/promises'
import { basename } from 'node:path'
import { type Finding, findingsAbout } from './finding.ts'
import type { System } from './system.ts'

/** Warn early, because NATS rejects appends before its disk is completely full. */
const MIN_FREE_MIB = 1_024
const MIB = 2 ** 20
const CHECKPOINT = /^checkpoint-[a-z]+(-\w+)?\.bin$/

/** Files that a service could not use: a pattern for their names, the name of the finding, the cause and the fix. */
const SET_ASIDE = [
  [
    /^checkpoint-[a-z]+(-\w+)?\.bin\.(corrupt|unknown-version)-\d+$/,
    'checkpoint',
    ', because reporting could not read it: delete it, unless you want to inspect it or run the release that wrote it',
  ],
  [
    /\.sqlite\.corrupt-\d+$/,
    'outbox',
    " because it is corrupt: recover its views, if it had any, with sqlite3's .recover command; then delete it",
  ],
] as const

/** Findings about files in DATA_DIR that a service set aside. */
export function diagnoseSetAside({ files }: System): Finding[] {
  return SET_ASIDE.flatMap(([form, name, remedy]) =>
    files
      .filter((file) => form.test(basename(file)))
      .map((file) => findingsAbout(name).warn(`${file} was set aside${remedy}`)),
  )
}

/**
 * Checks the free space on the disk of DATA_DIR if it exists, also for the next checkpoints: each one is written next
 * to the previous one, and may be larger.
 */
export async function* checkDisk({ settings: { DATA_DIR }, files }: System): AsyncGenerator<Finding> {
  const { ok, warn } = findingsAbout('disk')
  const disk = await statfs(DATA_DIR).catch(() => undefined)
  if (!disk) return
  const freeBytes = disk.bavail * disk.bsize
  const freeMib = Math.round(freeBytes / MIB)
  const text = `${freeMib.toLocaleString('en')} MiB free for ${DATA_DIR}`
  const free = 'free some space, or set EVENTS_MAX_AGE, before the log and the outbox run out of space'
  yield freeMib > MIN_FREE_MIB ? ok(text) : warn(`${text}: ${free}`)
  for (const file of files.filter((file) => CHECKPOINT.test(basename(file)))) {
    const { size } = await stat(file).catch(() => ({ size: Number.NaN }))
    const taken = `${file} takes ${Math.ceil(size / MIB)} MiB, but the disk has less than twice that free`
    if (freeBytes <= 2 * size) yield findingsAbout('checkpoint').warn(`${taken}: free some space`)
  }
}
