import { keysKept, seriesKept, verdictsKept } from '../../reporting/maps/kept.ts'
import { databaseUrl, verdictsMaxAge } from '../../reporting/postgres/settings.ts'
import { toRulesVersion } from '../../reporting/rules/settings.ts'
import { services, urlsOf } from '../../services.ts'
import { writeToken } from '../../shared/http/write-token.ts'
import { toNatsAccess } from '../../shared/nats/credentials.ts'
import { natsSettings } from '../../shared/nats/settings.ts'
import { UsageError } from '../../shared/runtime/command-line.ts'
import { dataDir, loadSettings } from '../../shared/runtime/settings.ts'
import { edgePortOption, loadEnvironment, runCommand } from '../command.ts'
import { acceptLoss } from './accept-loss.ts'
import { copyCheckpoint, type Databases } from './copy.ts'
import { recount } from './recount.ts'
import { printStatus } from './status.ts'
import { CountsError, type Target } from './system.ts'

const name = 'npm run counts'

const usage = `Usage: npm run counts [-- COMMAND]

Shows how far reporting has counted the log, lets counting continue after a loss, copies the counts to Postgres, and
recounts the log under other view rules.

  status         prints the position, the log, each reporting instance's store, and the lost views (default)
  accept-loss    prints which messages expired or were purged before they were counted; with --yes, counting continues
                 after them. If a backup of the counts includes these messages, restore it instead
  copy           copies the checkpoint of a stopped reporting instance from DATA_DIR into the empty database
                 DATABASE_URL
  recount        counts the log under other view rules, and prints how the numbers differ. The new counts are stored
                 next to the current counts in DATA_DIR or, if DATABASE_URL is set, in that database, which must not be
                 the one that reporting uses

  --yes          confirms the loss
  --rules V      version of the view rules for recount
  --port N       the edge's port, as for npm start (default: ${services.play.port}); all other ports shift by the same amount. Overrides
                 REPORTING_URL, but not NATS_URL

  REPORTING_URL  reporting's URLs, separated by commas (default: http://127.0.0.1:${services.reporting.port})
  NATS_URL       URL of NATS (default: nats://127.0.0.1:4222); also NATS_CA, NATS_CREDS and NATS_NKEY
  WRITE_TOKEN    token that reporting requires (default: none)
  DATA_DIR       directory with the checkpoint (default: ./data)
  DATABASE_URL   Postgres (default: none)
  KEYS_KEPT      as for reporting, for copy and recount; also VERDICTS_KEPT, SERIES_KEPT and VERDICTS_MAX_AGE

Settings are also read from .env; the environment overrides them.`

const options = { ...edgePortOption, yes: { type: 'boolean', default: false }, rules: { type: 'string' } } as const
const shape = {
  ...natsSettings,
  REPORTING_URL: urlsOf(services.reporting),
  WRITE_TOKEN: writeToken,
  DATA_DIR: dataDir,
  DATABASE_URL: databaseUrl,
  KEYS_KEPT: keysKept,
  VERDICTS_KEPT: verdictsKept,
  SERIES_KEPT: seriesKept,
  VERDICTS_MAX_AGE: verdictsMaxAge,
}

await runCommand({ name, usage, options, dotEnv: true, takesArguments: true }, async ({ port, ...flags }, given) => {
  const work = toWork(given, flags)
  try {
    return await work(loadTarget(port))
  } catch (error) {
    if (!(error instanceof CountsError)) throw error
    process.stderr.write(`${name}: ${error.message}\n`)
    return 1
  }
})

/** @throws UsageError */
function toWork(
  [command = 'status', ...rest]: string[],
  { yes: isConfirmed, rules }: { yes: boolean; rules?: string | undefined },
): (target: Target & Databases) => Promise<number> {
  if (rest.length > 0) throw new UsageError(`unexpected argument ${JSON.stringify(rest[0])}; --help shows the usage`)
  if (isConfirmed && command !== 'accept-loss') throw new UsageError('only accept-loss accepts --yes')
  if (rules !== undefined && command !== 'recount') throw new UsageError('only recount accepts --rules')
  switch (command) {
    case 'status':
      return async (target) => {
        await printStatus(target)
        return 0
      }
    case 'accept-loss':
      return (target) => acceptLoss(target, isConfirmed)
    case 'copy':
      return copyCheckpoint
    case 'recount': {
      const version = toRulesVersion(rules ?? '')
      if (!version) throw new UsageError(`--rules is "${rules ?? ''}": it must be a version of the view rules`)
      return (target) => recount(target, version)
    }
    default:
      throw new UsageError(`unknown command ${JSON.stringify(command)}; --help lists the commands`)
  }
}

/** @throws UsageError */
function loadTarget(port: string | undefined): Target & Databases {
  const settings = loadSettings(shape, { args: [], env: loadEnvironment(port) })
  const { REPORTING_URL: reporting, WRITE_TOKEN } = settings
  return {
    nats: toNatsAccess(settings),
    reporting,
    token: WRITE_TOKEN?.sent,
    dataDir: settings.DATA_DIR,
    urls: settings.DATABASE_URL,
    kept: { keys: settings.KEYS_KEPT, verdicts: settings.VERDICTS_KEPT, series: settings.SERIES_KEPT },
    verdictsMaxAgeMs: settings.VERDICTS_MAX_AGE,
  }
}
