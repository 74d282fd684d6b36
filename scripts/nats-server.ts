import { spawnSync } from 'node:child_process'

/** The version of a nats-server executable, such as `2.9.10`, or undefined if it cannot run. */
export function natsServerVersion(program = 'nats-server'): string | undefined {
  const { status, stdout } = spawnSync(program, ['--version'], { encoding: 'utf8' })
  return status === 0 ? /v(\d\S*)/.exec(stdout)?.[1] : undefined
}

/** nats-server before 2.10 rejects `sync_interval: always`. */
export function canFlushAlways(version: string): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number)
  return major > 2 || (major === 2 && minor >= 10)
}
