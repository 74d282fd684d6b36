import { runTour, stepIds, type TourResult } from '../../console/page/tour/headless.js'
import { services } from '../../services.ts'
import { LIVENESS } from '../../shared/contracts/probes.ts'
import { UsageError } from '../../shared/runtime/command-line.ts'
import { toOrigin } from '../../shared/runtime/origin.ts'
import { optionalSecret } from '../../shared/runtime/secret-settings.ts'
import { dataDir, host, loadSettings, optionalPort } from '../../shared/runtime/settings.ts'
import { edgePortOption, runCommand, toEdgePort } from '../command.ts'
import { readToken, tokenFileOf } from '../start/controls/token-file.ts'
import { toReachable } from '../start/environment.ts'

const name = 'npm run tour'

/** The outage is long enough for play to detect it, but short, because the user waits for the verdicts. */
const OUTAGE_S = 3
const MAX_PATIENCE_S = 600
const REACHABLE_MS = 3_000

const usage = `Usage: npm run tour [-- STEP…]

Runs the tour at /tour from the command line, against the system that npm start runs: sends plays, kills processes, and
checks that every play with status 200 is counted exactly once. Prints each step's verdict. Each step restores the
system.

  STEP          ${stepIds.join(', ')}
                (default: all, in this order)

  --port N      the edge's port, as for npm start (default: ${services.play.port})
  --patience N  how many seconds to wait for a view to be counted, or for a recovery (default: 20)
  --verbose     also print what happens in each step

  DATA_DIR      the directory that npm start uses, with the token for its controls (default: ./data)
  CONTROLS_TOKEN  the token, if it is not in DATA_DIR
  HOST          address that play listens on (default: 127.0.0.1)
  OPS_PORT      play's port for operations, if it has one
  OPS_HOST      address that play listens on for operations (default: 127.0.0.1)

Exits with status 1 if a step fails. A step that cannot run here is skipped, and its verdict says why.`

const options = {
  ...edgePortOption,
  patience: { type: 'string', default: '20' },
  verbose: { type: 'boolean', default: false },
} as const
const shape = {
  DATA_DIR: dataDir,
  CONTROLS_TOKEN: optionalSecret('Token for the npm start controls'),
  HOST: host,
  OPS_PORT: optionalPort("play's port for operations"),
  OPS_HOST: host,
}

const labels = { passed: 'ok', failed: 'FAIL', skipped: 'skip' }

await runCommand({ name, usage, options, dotEnv: true, takesArguments: true }, async ({ port, ...flags }, given) => {
  const edgePort = toEdgePort(port)
  const settings = loadSettings(shape, { args: [], env: process.env })
  const { DATA_DIR, CONTROLS_TOKEN, HOST, OPS_HOST, OPS_PORT } = settings
  const edge =
    OPS_PORT === undefined ? toOrigin(toReachable(HOST), edgePort) : toOrigin(toReachable(OPS_HOST), OPS_PORT)
  const steps = toSteps(given)
  const patienceMs = toPatience(flags.patience)
  if (!(await isReachable(edge))) {
    process.stderr.write(`${name}: play is not reachable at ${edge}; npm start starts all services\n`)
    return 1
  }
  const tokenFile = tokenFileOf(DATA_DIR, edgePort)
  const token = CONTROLS_TOKEN ?? readToken(tokenFile)
  if (!token)
    process.stdout.write(`There is no ${tokenFile}, so this tour has no controls: set DATA_DIR to that of npm start\n`)
  const results = runTour({
    edge,
    token: token?.reveal(),
    ids: steps,
    outageSeconds: OUTAGE_S,
    patienceMs,
    onNote: (text) => flags.verbose && process.stdout.write(`      ${text}\n`),
    onWait: (text) => process.stdout.write(`wait  ${text}\n`),
  })
  const outcomes: TourResult['outcome'][] = []
  for await (const result of results) {
    process.stdout.write(toText(result))
    outcomes.push(result.outcome)
  }
  const of = (outcome: TourResult['outcome']) => outcomes.filter((each) => each === outcome).length
  process.stdout.write(`\n${of('passed')} passed, ${of('failed')} failed, ${of('skipped')} skipped\n`)
  return of('failed') > 0 ? 1 : 0
})

async function isReachable(origin: string): Promise<boolean> {
  return fetch(`${origin}${LIVENESS}`, { signal: AbortSignal.timeout(REACHABLE_MS) }).then(
    () => true,
    () => false,
  )
}

/** @throws UsageError */
function toSteps(given: string[]): readonly string[] {
  const unknown = given.find((id) => !stepIds.includes(id))
  if (unknown !== undefined) throw new UsageError(`there is no step "${unknown}"; the steps are ${stepIds.join(', ')}`)
  return given.length > 0 ? given : stepIds
}

/** @throws UsageError */
function toPatience(text: string): number {
  const seconds = Number(text)
  if (/^\d+$/.test(text) && seconds >= 1 && seconds <= MAX_PATIENCE_S) return seconds * 1_000
  throw new UsageError(`--patience is "${text}": it must be a number of seconds, 1 to ${MAX_PATIENCE_S}`)
}

function toText({ outcome, title, sentence, facts, identity }: TourResult): string {
  const lines = [
    `${labels[outcome].padEnd(5)} ${title}: ${sentence}`,
    ...(outcome === 'failed' ? facts.map(([label, value]) => `      ${label}: ${value}`) : []),
    ...(outcome === 'skipped' ? [] : [`      ${identity}`]),
  ]
  return lines.map((line) => `${line}\n`).join('')
}
