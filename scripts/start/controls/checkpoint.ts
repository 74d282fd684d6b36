import { rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { CHECKPOINT, toCheckpointPath } from '../../../reporting/maps/checkpoint-file.ts'
import type { RulesVersion } from '../../../reporting/rules/rule-sets.ts'
import { codeOf } from '../../../shared/runtime/error-code.ts'

/** Moves reporting's checkpoint aside for a replay. `setAside` and `restore` require that reporting is down. */
export type CheckpointControl = {
  /** Moves the checkpoint away, so that reporting replays the whole log on its next start. */
  setAside(): Promise<void>
  restore(): Promise<void>
  /** Deletes the checkpoint that was set aside. */
  forget(): Promise<void>
}

export function createCheckpointControl(dataDir: string, rules: RulesVersion): CheckpointControl {
  const file = `${toCheckpointPath(join(dataDir, CHECKPOINT), rules)}.bin`
  const aside = `${file}.replayed`
  return {
    setAside: () => moveIfPresent(file, aside),
    restore: () => moveIfPresent(aside, file),
    forget: () => rm(aside, { force: true }),
  }
}

async function moveIfPresent(from: string, to: string): Promise<void> {
  await rename(from, to).catch((error) => {
    if (codeOf(error) !== 'ENOENT') throw error
  })
}
