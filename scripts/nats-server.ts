import { spawnSync } from 'node:child_process'
import { isAtLeast } from '../shared/nats/server-version.ts'

/** The version of a nats-server executable, such as `2.9.10`, or undefined if it cannot run. */
export function natsServerVersion(program = 'nats-server'): string | undefined {
  const { status, stdout } = spawnSync(program, ['--version'], { encoding: 'utf8' })
  return status === 0 ? /v(\d\S*)/.exec(stdout)?.[1] : undefined
}

/** nats-server before 2.10 rejects `sync_interval: always`. */
export function canFlushAlways(version: string): boolean {
  return isAtLeast(version, '2.10')
}
