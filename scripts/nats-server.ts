import { spawnSync } from 'node:child_process'

/** The version that a nats-server program says it is, such as `2.9.10`; undefined where it does not run. */
export function natsServerVersion(program = 'nats-server'): string | undefined {
  const { status, stdout } = spawnSync(program, ['--version'], { encoding: 'utf8' })
  return status === 0 ? /v(\d\S*)/.exec(stdout)?.[1] : undefined
}

/** `sync_interval: always` came with nats-server 2.10; before, it is not a valid configuration. */
export function canFlushAlways(version: string): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number)
  return major > 2 || (major === 2 && minor >= 10)
}
