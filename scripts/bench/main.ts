import { parseArgs } from 'node:util'
import { natsVersion } from '../../tests/harness/nats-server.ts'
import { canFlushAlways } from '../nats-server.ts'
import { expectAllCounted } from './counted.ts'
import { measureLive } from './live.ts'
import { loader } from './load.ts'
import { measure } from './measure.ts'
import { measureReplay } from './replay.ts'
import { toTable } from './table.ts'
import { startTargets } from './targets.ts'

const USAGE = `Usage: npm run bench [-- --fsync] [-- --naive] [-- --observed] [-- --gin] [-- --connections 1,32,128,512]

Starts the system and a bare Hono app on free ports, plays at them in turn, and prints one table.
Load is made by wrk where it is on the PATH, else by autocannon. Needs nats-server on the PATH.

  --fsync          the NATS server flushes every append to disk (deploy/nats.conf, nats-server 2.10 or later)
  --naive          also the system without the cache, without group look-ups, without group commit, without all three
  --observed       also a system of its own that sends spans to a receiver and is scraped every 5 s
  --gin            also the same pipeline in Go and gin, at most once (needs Go and Debian's packages; scripts/bench/gin)
  --connections N  how many connections, separated by commas (default: 1,32,128,512)
  --seconds N      how long a round takes (default: 5)
  --rounds N       rounds of each figure, of which the median is printed (default: 3)
  --no-replay      leaves out the replay of a log and the memory of counts
  --no-live        leaves out what 1,000 listeners to live counts cost

  NATS_SERVER_BIN  the nats-server to use (default: the one on the PATH)`

class UsageError extends Error {}

// What was started ends with this process; a signal alone would not let it see to that.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130))

try {
  await bench(readArguments())
} catch (error) {
  if (!(error instanceof UsageError)) throw error
  process.stderr.write(`npm run bench: ${error.message}\n`)
  process.exitCode = 2
}

async function bench(options: ReturnType<typeof readArguments>): Promise<void> {
  if (options.help) return print(USAGE)
  if (!natsVersion) throw new UsageError('there is no nats-server on the PATH; the README says how to get one')
  if (options.fsync && !canFlushAlways(natsVersion)) {
    throw new UsageError(`nats-server ${natsVersion} cannot flush every append; 2.10 and later can`)
  }
  const { connections, seconds, rounds } = options
  print(`Load by ${loader}; nats-server ${natsVersion}${options.fsync ? ', every append flushed to disk' : ''}; \
median of ${rounds} rounds of ${seconds} s; Node ${process.versions.node}\n`)
  {
    await using targets = await startTargets(options)
    print(toTable(await measure(targets.all, { connections, seconds, rounds })))
    for (const counted of targets.counted) print(await expectAllCounted(counted))
  }
  if (options.replay) print(await measureReplay())
  if (options.live) print(await measureLive(options))
}

function readArguments() {
  const { values } = parse()
  return {
    ...values,
    connections: values.connections.split(',').map((text) => toCount('connections', text)),
    seconds: toCount('seconds', values.seconds),
    rounds: toCount('rounds', values.rounds),
  }
}

function parse() {
  try {
    return parseArgs({
      allowNegative: true,
      options: {
        fsync: { type: 'boolean', default: false },
        naive: { type: 'boolean', default: false },
        observed: { type: 'boolean', default: false },
        gin: { type: 'boolean', default: false },
        replay: { type: 'boolean', default: true },
        live: { type: 'boolean', default: true },
        connections: { type: 'string', default: '1,32,128,512' },
        seconds: { type: 'string', default: '5' },
        rounds: { type: 'string', default: '3' },
        help: { type: 'boolean', short: 'h', default: false },
      },
    })
  } catch (error) {
    throw new UsageError(`${(error as Error).message.split('. ')[0]}; --help lists what there is`)
  }
}

function toCount(name: string, text: string): number {
  if (!/^[1-9]\d{0,4}$/.test(text)) throw new UsageError(`--${name} is "${text}": it must be a whole number`)
  return Number(text)
}

function print(text: string): void {
  process.stdout.write(`${text}\n`)
}
