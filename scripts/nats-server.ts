import { spawnSync } from 'node:child_process'

/** The version that a nats-server program says it is, such as `2.9.10`; undefined where it does not run. */
export function natsServerVersion(program = 'nats-server'): string | undefined {
  const { status, stdout } = spawnSync(program, ['--version'], { encoding: 'utf8' })
  return status === 0 ? /v(\d\S*)/.exec(stdout)?.[1] : undefined
}
