import { readdir, stat, statfs } from 'node:fs/promises'
import { join } from 'node:path'
import { type Finding, ok, warn } from './finding.ts'
import { probe, toMetric } from './probe.ts'

/** The same threshold as the alert CheckpointOld. */
const OLD_S = 3_600
const FILE = /^checkpoint-[a-z]+(-\w+)?\.bin$/
const SET_ASIDE = /^checkpoint-[a-z]+(-\w+)?\.bin\.(corrupt|unknown-version)-\d+$/

/**
 * Checks that reporting saves its counts. If the directory exists, also looks there for checkpoints that were set aside
 * or that have too little free disk space.
 */
export async function* checkCheckpoints(reporting: string[], directory: string): AsyncGenerator<Finding> {
  for (const origin of reporting) yield* checkWriting(origin)
  const names = await readdir(directory).catch(() => [])
  for (const name of names.filter((name) => SET_ASIDE.test(name))) {
    const text = `${join(directory, name)} was set aside, because reporting could not read it`
    yield warn('checkpoint', `${text}: delete it, unless you want to run the release that wrote it, or to inspect it`)
  }
  for (const name of names.filter((name) => FILE.test(name))) yield* checkRoom(directory, name)
}

async function* checkWriting(origin: string): AsyncGenerator<Finding> {
  const metrics = await probe(origin, '/metrics')
  const [age, failing] = [toMetric(metrics, 'checkpoint_age_seconds'), toMetric(metrics, 'checkpoint_failing')]
  const isInMemory = toMetric(metrics, 'counted_ids_max') > 0
  if (failing === 1) {
    const fix = 'free space on the disk of its DATA_DIR, or fix its permissions and restart reporting'
    yield warn('checkpoint', `${origin} cannot save its counts: ${fix}; its log has the reason`)
  } else if (age > OLD_S) {
    const minutes = Math.round(age / 60)
    yield warn(
      'checkpoint',
      `that of ${origin} lacks the views of the last ${minutes} min: check the disk, and CHECKPOINT_EVERY`,
    )
  } else if (age >= 0) yield ok('checkpoint', `${origin} saves its counts`)
  else if (isInMemory) {
    const why = 'it is still loading them, or CHECKPOINT_EVERY is 0s'
    yield warn(
      'checkpoint',
      `${origin} does not save its counts, because ${why}: a restart counts the log from its start`,
    )
  }
}

/** The next checkpoint is written beside the previous one, and may be larger, so it needs free space. */
async function* checkRoom(directory: string, name: string): AsyncGenerator<Finding> {
  const file = join(directory, name)
  const [info, disk] = await Promise.all([stat(file), statfs(directory)]).catch(() => [undefined, undefined])
  if (!info || !disk || disk.bavail * disk.bsize > 2 * info.size) return
  const sizeMib = Math.ceil(info.size / 2 ** 20)
  yield warn('checkpoint', `${file} has ${sizeMib} MiB, and the disk has less than twice as much free: free some space`)
}
