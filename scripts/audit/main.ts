import { services, urlsOf } from '../../services.ts'
import { createJetStreamEventLog } from '../../shared/event-log/jetstream-event-log.ts'
import { readToken } from '../../shared/http/read-token.ts'
import { type NatsAccess, toNatsAccess } from '../../shared/nats/credentials.ts'
import { openNatsLink } from '../../shared/nats/link.ts'
import { natsSettings } from '../../shared/nats/settings.ts'
import { UsageError } from '../../shared/runtime/command-line.ts'
import { createLog } from '../../shared/runtime/log.ts'
import { loadSettings } from '../../shared/runtime/settings.ts'
import { edgePortOption, loadEnvironment, runCommand } from '../command.ts'
import { logUnavailable } from '../log-unavailable.ts'
import { plural } from '../plural.ts'
import { toOneLine } from '../table.ts'
import { AuditError, auditLog, type Stretch, WHOLE_LOG } from './audit.ts'
import { createReportingReader, ReportingError, type ReportingReader } from './reporting.ts'

const name = 'npm run audit'
const CONNECT_TIMEOUT_MS = 2_000
const MAX_LINES = 20

const usage = `Usage: npm run audit [-- OPTION…]

Recounts the log with an independent implementation, and compares the result with every number and verdict that
reporting serves. Exits with status 1 if any of them differs. Safe to run while the services count views.

  --from N       compares only the verdicts of messages from this sequence on (default: the first in the log)
  --to N         compares only the verdicts of messages up to this sequence (default: the last one counted)
  --port N       the edge's port, as for npm start (default: ${services.play.port}); all other ports shift by the same amount. Overrides
                 REPORTING_URL, but not NATS_URL

  REPORTING_URL  reporting's URL (default: http://127.0.0.1:${services.reporting.port})
  READ_TOKEN     token for reads that name users, if reporting requires one
  NATS_URL       URL of NATS (default: nats://127.0.0.1:4222); also NATS_CA, NATS_CREDS and NATS_NKEY

Settings are also read from .env; the environment overrides them.`

const options = { ...edgePortOption, from: { type: 'string' }, to: { type: 'string' } } as const
const shape = { ...natsSettings, REPORTING_URL: urlsOf(services.reporting), READ_TOKEN: readToken }

await runCommand({ name, usage, options, dotEnv: true }, async ({ port, from, to }) => {
  const stretch = { from: toSequence('--from', from) ?? WHOLE_LOG.from, to: toSequence('--to', to) ?? WHOLE_LOG.to }
  if (stretch.from > stretch.to) throw new UsageError(`--from is ${from}, which is after --to ${to}`)
  const settings = loadSettings(shape, { args: [], env: loadEnvironment(port) })
  const [reporting = ''] = settings.REPORTING_URL
  try {
    const reader = createReportingReader(reporting, settings.READ_TOKEN)
    return await run({ access: toNatsAccess(settings), reporting: reader, stretch })
  } catch (error) {
    if (!(error instanceof AuditError || error instanceof ReportingError)) throw error
    process.stderr.write(`${name}: ${toOneLine(error.message)}\n`)
    return 1
  }
})

type Audited = { access: NatsAccess; reporting: ReportingReader; stretch: Stretch }

async function run({ access, reporting, stretch }: Audited) {
  const log = createLog({ name: 'audit', level: 'silent' })
  await using nats = openNatsLink({ ...access, name: 'audit', log })
  await nats.up(AbortSignal.timeout(CONNECT_TIMEOUT_MS)).catch(() => {
    throw new AuditError(logUnavailable(access.servers))
  })
  await using eventLog = createJetStreamEventLog({ nats, log })
  const { differences, notes, recount, compared } = await auditLog({ eventLog, reporting, stretch })
  const { totals, assets, users } = recount
  print([
    `The log: ${plural(totals.views, 'view')}, ${totals.qualified} qualified, ${totals.retried} retried`,
    `Compared: ${plural(assets.size, 'asset')}, ${plural(users.size, 'user')}, ${plural(compared, 'verdict')}`,
    ...notes.map((note) => `Note: ${note}`),
    ...differences.slice(0, MAX_LINES),
    ...(differences.length > MAX_LINES ? [`and ${differences.length - MAX_LINES} more`] : []),
    differences.length === 0 ? 'reporting agrees with the log.' : `${plural(differences.length, 'difference')}.`,
  ])
  return differences.length === 0 ? 0 : 1
}

function print(lines: readonly string[]): void {
  process.stdout.write(lines.map((line) => `${toOneLine(line)}\n`).join(''))
}

/** @throws UsageError */
function toSequence(flag: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  if (/^[1-9]\d{0,14}$/.test(text)) return Number(text)
  throw new UsageError(`${flag} is "${text}": it must be a sequence number in the log`)
}
