import { UsageError } from '../../shared/runtime/command-line.ts'
import { natsVersion } from '../../tests/harness/nats-server.ts'
import { runCommand } from '../command.ts'
import { canFlushAlways } from '../nats-server.ts'
import { type CapabilityName, capabilityNames } from './capabilities.ts'
import { measureDisk } from './disk.ts'
import { hasGo } from './gin/start.ts'
import { measureGrowth } from './growth.ts'
import { measureLive } from './live.ts'
import { loadGenerator } from './load.ts'
import { measureCapabilities } from './measure-capabilities.ts'
import { measureSystem } from './measure-system.ts'
import { print, showProgress } from './output.ts'
import { measureReplay } from './replay.ts'

const usage = `Usage: npm run bench [-- --report] [-- --fsync] [-- --naive] [-- --gin] [-- --plays 2] [-- --connections 1,32,128,512]

Starts the system and a bare Hono app on free ports, puts load on them in turn, and prints one table.
Generates load with wrk if it is on the PATH, otherwise with autocannon. Needs nats-server.

  --report         measure what docs/performance.md reports: --capabilities all, --open-loop, --layers, and --gin if Go
                   is installed
  --capabilities N also measure the system with these capabilities, one at a time: all, or a comma-separated list of
                   ${capabilityNames.join(', ')}
  --open-loop      also measure latencies at a quarter of the highest throughput (needs wrk)
  --layers         also profile play, and print its CPU time per play by layer
  --fsync          the NATS server flushes every append to disk (deploy/nats.conf, nats-server 2.10 or later)
  --naive          also measure the system without the cache, without batched lookups, without group commit, and without
                   all three
  --gin            also measure the same pipeline in Go and gin, with at-most-once delivery (scripts/bench/gin; needs Go
                   and Debian's packages)
  --plays N        also measure N play processes (2 to 64) that share a port
  --connections N  numbers of connections, separated by commas (default: 1,32,128,512)
  --seconds N      duration of a round (default: 5)
  --rounds N       rounds per figure; the table shows their median (default: 3)
  --disk           instead, measure the bytes of disk per view for each number of connections
  --growth         instead, measure how long reporting takes to start with a long log, its memory, and the disk space of
                   the counts
  --views N        for --growth: views in the log (default: 10000000)
  --users N        for --growth: users in the log (default: a tenth of the views)
  --no-replay      do not measure the replay of a log and the memory use of counts
  --no-live        do not measure the cost of 1,000 subscribers to live counts

  NATS_SERVER_BIN  the nats-server to use (default: the one on the PATH)`

/** The number of connections for `--layers` and `--capabilities` if `--connections` lists it; otherwise the highest. */
const USUAL_CONNECTIONS = 128

/** The value of `--capabilities` that selects all capabilities. */
const ALL = 'all'

// process.exit() runs the handlers that kill the child processes; the default action of a signal does not.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130))

const options = {
  report: { type: 'boolean', default: false },
  capabilities: { type: 'string', default: '' },
  'open-loop': { type: 'boolean', default: false },
  layers: { type: 'boolean', default: false },
  fsync: { type: 'boolean', default: false },
  naive: { type: 'boolean', default: false },
  gin: { type: 'boolean', default: false },
  disk: { type: 'boolean', default: false },
  growth: { type: 'boolean', default: false },
  views: { type: 'string', default: '10000000' },
  users: { type: 'string' },
  replay: { type: 'boolean', default: true },
  live: { type: 'boolean', default: true },
  plays: { type: 'string', default: '1' },
  connections: { type: 'string', default: '1,32,128,512' },
  seconds: { type: 'string', default: '5' },
  rounds: { type: 'string', default: '3' },
} as const

await runCommand({ name: 'npm run bench', usage, options }, async (values) => {
  const connections = values.connections.split(',').map((text) => toCount('connections', text))
  const seconds = toCount('seconds', values.seconds)
  const rounds = toCount('rounds', values.rounds)
  const { report } = values
  const capabilities = toCapabilities(values.capabilities || (report ? ALL : ''))
  const plays = toCount('plays', values.plays)
  if (plays > 64) throw new UsageError(`--plays is "${plays}": it must be at most 64`)
  if (!natsVersion)
    throw new UsageError(
      'nats-server is not on the PATH; install it from https://github.com/nats-io/nats-server/releases',
    )
  if (values.fsync && !canFlushAlways(natsVersion)) {
    throw new UsageError(`nats-server ${natsVersion} cannot flush every append; install 2.10 or later`)
  }
  if (values.disk) {
    for await (const line of measureDisk({ connections, seconds })) print(line)
    return
  }
  if (values.growth) {
    const views = toSize('views', values.views)
    const users = values.users === undefined ? Math.ceil(views / 10) : toSize('users', values.users)
    for await (const line of measureGrowth({ views, users })) print(line)
    return
  }
  print(`Load by ${loadGenerator}; nats-server ${natsVersion}${values.fsync ? ', every append flushed to disk' : ''}; \
median of ${rounds} rounds of ${seconds} s; Node ${process.versions.node}\n`)
  const gin = values.gin || (report && hasGo)
  if (report && !gin) print('Go and gin: skipped, because Go is not installed\n')
  const [openLoop, layers] = [report || values['open-loop'], report || values.layers]
  const usual = connections.includes(USUAL_CONNECTIONS) ? USUAL_CONNECTIONS : Math.max(...connections)
  const load = { connections, seconds, rounds }
  for await (const text of measureSystem({ ...values, gin, plays, load, usual, openLoop, layers })) print(text)
  if (capabilities.length > 0) {
    const options = { fsync: values.fsync, capabilities, load: { ...load, connections: [usual] } }
    for await (const text of measureCapabilities(options)) print(text)
  }
  if (values.replay) {
    showProgress('replay')
    print(await measureReplay())
  }
  if (values.live) {
    showProgress('live counts')
    print(await measureLive({ seconds }))
  }
})

function toCount(name: string, text: string): number {
  if (!/^[1-9]\d{0,4}$/.test(text)) throw new UsageError(`--${name} is "${text}": it must be a whole number`)
  return Number(text)
}

function toSize(name: string, text: string): number {
  if (!/^[1-9]\d{2,8}$/.test(text))
    throw new UsageError(`--${name} is "${text}": it must be a whole number, at least 100`)
  return Number(text)
}

function toCapabilities(text: string): CapabilityName[] {
  if (text === ALL) return capabilityNames
  const names = text.split(',').filter(Boolean)
  const unknown = names.find((name) => !capabilityNames.some((capability) => capability === name))
  if (unknown !== undefined) throw new UsageError(`--capabilities is "${text}": there is no capability "${unknown}"`)
  return capabilityNames.filter((name) => names.includes(name))
}
