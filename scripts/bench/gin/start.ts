import { spawnSync } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { NatsServer } from '../../../tests/harness/nats-server.ts'
import { type ServiceProcess, startCommand } from '../../../tests/harness/service-process.ts'
import type { Target } from '../target.ts'

/** The GOPATH of Debian's golang-github-gin-gonic-gin-dev and golang-github-nats-io-go-nats-dev packages. */
const DEBIAN_GOPATH = '/usr/share/gocode'

export const hasGo = spawnSync('go', ['version']).status === 0

/** Builds the Go pipeline, and starts its five services as processes that use the given NATS server. */
export async function startGin(nats: NatsServer): Promise<Target & AsyncDisposable> {
  await using stack = new AsyncDisposableStack()
  const directory = await mkdtemp(join(tmpdir(), 'gin-'))
  stack.defer(() => rm(directory, { recursive: true, force: true }))
  const program = join(directory, 'gin')
  build(program)
  const start = async (name: string, env: Record<string, string> = {}): Promise<ServiceProcess> =>
    stack.use(await startCommand(name, program, [name], { NATS_URL: nats.url, ...env }))
  const [metadata, cdnurl, reporting] = [await start('metadata'), await start('cdnurl'), await start('reporting')]
  const env = { METADATA_URL: metadata.url, CDNURL_URL: cdnurl.url, REPORTING_URL: reporting.url }
  const [listener, play] = [await start('queue-listener', env), await start('play', env)]
  const started = stack.move()
  return {
    name: 'Go and gin',
    url: play.url,
    pids: () => ({
      play: [play.pid()],
      reporting: [reporting.pid()],
      'queue-listener': [listener.pid()],
      'nats-server': [nats.pid()],
    }),
    [Symbol.asyncDispose]: () => started.disposeAsync(),
  }
}

function build(program: string): void {
  const env = { ...process.env, GO111MODULE: 'off', GOPATH: process.env.GOPATH || DEBIAN_GOPATH }
  const { status, stderr, error } = spawnSync('go', ['build', '-o', program, './scripts/bench/gin'], {
    encoding: 'utf8',
    env,
  })
  if (status !== 0) throw new Error(`cannot build the Go pipeline: ${error?.message ?? stderr}`)
}
