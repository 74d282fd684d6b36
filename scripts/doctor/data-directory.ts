import { stat, statfs } from 'node:fs/promises'
import { basename, dirname } from 'node:path'
import { type Finding, findingsAbout } from './finding.ts'

/** Warn early, because NATS rejects appends before its disk is completely full. */
const MIN_FREE_MIB = 1_024
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
export function diagnoseSetAside(files: string[]): Finding[] {
  return SET_ASIDE.flatMap(([form, name, remedy]) =>
    files
      .filter((file) => form.test(basename(file)))
      .map((file) => findingsAbout(name).warn(`${file} was set aside${remedy}`)),
  )
}

/** Checks the free disk space for a directory if it exists. */
export async function checkDisk(directory: string): Promise<Finding[]> {
  const { ok, warn } = findingsAbout('disk')
  const disk = await statfs(directory).catch(() => undefined)
  if (!disk) return []
  const freeMib = Math.round((disk.bavail * disk.bsize) / 2 ** 20)
  const text = `${freeMib.toLocaleString('en')} MiB free for ${directory}`
  const free = 'free some space, or set EVENTS_MAX_AGE, before the log and the outbox run out of space'
  return [freeMib > MIN_FREE_MIB ? ok(text) : warn(`${text}: ${free}`)]
}

/**
 * Checks that the disk has room for the next checkpoints. Each checkpoint is written next to the previous one, and may
 * be larger.
 * @param files the files in DATA_DIR
 */
export async function checkRoom(files: string[]): Promise<Finding[]> {
  const { warn } = findingsAbout('checkpoint')
  const checkpoints = files.filter((file) => CHECKPOINT.test(basename(file)))
  const findings = checkpoints.map(async (file) => {
    const [info, disk] = await Promise.all([stat(file), statfs(dirname(file))]).catch(() => [undefined, undefined])
    if (!info || !disk || disk.bavail * disk.bsize > 2 * info.size) return []
    const sizeMib = Math.ceil(info.size / 2 ** 20)
    return [warn(`${file} takes ${sizeMib} MiB, but the disk has less than twice that free: free some space`)]
  })
  return (await Promise.all(findings)).flat()
}
