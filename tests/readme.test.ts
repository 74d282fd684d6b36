import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Child, startChild } from './harness/child.ts'
import { hasConsul } from './harness/consul-agent.ts'
import { eventually } from './harness/eventually.ts'
import { natsVersion, pathWithNats } from './harness/nats-server.ts'
import { freePortRange } from './harness/ports.ts'

/**
 * The commands in the README, run in order; `…` in their output matches anything. Commands in `console consul`
 * blocks need a system that runs with Consul.
 */
const readme = await readFile('README.md', 'utf8')

const modes = [
  { mode: 'with nats-server', path: pathWithNats, args: [], blocks: 'console', skip: !natsVersion },
  { mode: 'embedded', path: '', args: [], blocks: 'console', skip: false },
  {
    mode: 'with Consul',
    path: pathWithNats,
    args: ['--consul'],
    blocks: 'console consul',
    skip: !natsVersion || !hasConsul,
  },
]

describe.each(modes)('in a system that runs $mode,', ({ path, args, blocks, skip }) => {
  let directory: string
  let edgePort: number
  let child: Child

  beforeAll(async () => {
    if (skip) return
    directory = await mkdtemp(join(tmpdir(), 'readme-'))
    edgePort = await freePortRange()
    child = startChild(process.execPath, ['scripts/start/main.ts', '--port', String(edgePort), ...args], {
      env: { DATA_DIR: directory, NATS_URL: '', PATH: path },
    })
    await child.line((line) => line.startsWith('Try: ') || undefined)
  })
  afterAll(async () => {
    if (skip) return
    await child[Symbol.asyncDispose]()
    await rm(directory, { recursive: true, force: true })
  })

  test.skipIf(skip)('every command in the README prints what the README shows', async () => {
    const commands = commandsIn(blocks)
    expect(commands.length).toBeGreaterThan(1)
    for (const { command, output } of commands) {
      const run = async () => expect(await runAt(edgePort, command)).toMatch(patternOf(output))
      // Counts lag slightly behind views, so retry commands that only read.
      if (/POST|npm/.test(command)) await run()
      else await eventually(run)
    }
  })
})

type Command = { command: string; output: string }

function commandsIn(blocks: string): Command[] {
  const found = readme.matchAll(new RegExp(`^\`\`\`${blocks}\\n(.*?)^\`\`\``, 'gms'))
  return [...found].flatMap(([, block]) => commandsOf(block as string))
}

function commandsOf(block: string): Command[] {
  return block
    .split(/^\$ /m)
    .slice(1)
    .map((text) => {
      const [command, ...output] = text.split('\n')
      return { command: command as string, output: output.join('\n').trim() }
    })
}

/** Runs a command with the ports in the README replaced by the system's. */
async function runAt(edgePort: number, command: string): Promise<string> {
  const moved = command.replace(/localhost:(8\d{3})/g, (_, port) => `localhost:${edgePort + Number(port) - 8_080}`)
  const urls = { PLAY_URL: edgePort, METADATA_URL: edgePort + 1, REPORTING_URL: edgePort + 2, CDNURL_URL: edgePort + 3 }
  const env = Object.fromEntries(Object.entries(urls).map(([name, port]) => [name, `http://127.0.0.1:${port}`]))
  const silent = moved.replace('npm run', 'npm run --silent').replace(/^curl/, 'curl --silent')
  const { stdout } = await promisify(execFile)('bash', ['-c', silent], { env: { ...process.env, ...env } })
  return stdout.trim()
}

function patternOf(output: string): RegExp {
  const anyPort = output.replaceAll('…\n', '…').replaceAll(/127\.0\.0\.1[:-]\d+/g, '127.0.0.1…')
  return new RegExp(`^${anyPort.split('…').map(RegExp.escape).join('[^]*')}$`)
}
