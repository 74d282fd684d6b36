import { stat, statfs } from 'node:fs/promises'
import { basename, dirname } from 'node:path'
import { type Finding, findingsAbout } from './finding.ts'
import { toMetric } from './metrics.ts'
import type { Inspected } from './services.ts'

const { ok, warn } = findingsAbout('checkpoint')

/** The same threshold as the alert CheckpointOld. */
const OLD_S = 3_600
const FILE = /^checkpoint-[a-z]+(-\w+)?\.bin$/

/** Checks that an instance of reporting saves its counts. */
export function diagnoseSaving({ origin, metrics }: Inspected): Finding[] {
  const age = toMetric(metrics, 'checkpoint_age_seconds')
  if (toMetric(metrics, 'checkpoint_failing') === 1) {
    const fix = 'free space on the disk of its DATA_DIR, or fix its permissions and restart reporting'
    return [warn(`${origin} cannot save its counts: ${fix}; its log has the reason`)]
  }
  if (age > OLD_S) {
    const minutes = Math.round(age / 60)
    return [warn(`that of ${origin} lacks the views of the last ${minutes} min: check the disk, and CHECKPOINT_EVERY`)]
  }
  if (age >= 0) return [ok(`${origin} saves its counts`)]
  const isInMemory = toMetric(metrics, 'counted_ids_max') > 0
  if (!isInMemory) return []
  const why = 'it is still loading them, or CHECKPOINT_EVERY is 0s'
  return [warn(`${origin} does not save its counts, because ${why}: a restart counts the log from its start`)]
}

/**
 * Checks that the disk has room for the next checkpoints. Each is written beside the previous one, and may be larger.
 * @param files the files in DATA_DIR
 */
export async function checkRoom(files: string[]): Promise<Finding[]> {
  const findings = files.map(async (file) => {
    if (!FILE.test(basename(file))) return []
    const [info, disk] = await Promise.all([stat(file), statfs(dirname(file))]).catch(() => [undefined, undefined])
    if (!info || !disk || disk.bavail * disk.bsize > 2 * info.size) return []
    const sizeMib = Math.ceil(info.size / 2 ** 20)
    return [warn(`${file} has ${sizeMib} MiB, and the disk has less than twice as much free: free some space`)]
  })
  return (await Promise.all(findings)).flat()
}
