import { services, urlsOf } from '../../services.ts'
import { AssetId, UserId } from '../../shared/contracts/ids.ts'
import { View } from '../../shared/contracts/view.ts'
import { readToken } from '../../shared/http/read-token.ts'
import { UsageError } from '../../shared/runtime/command-line.ts'
import type { Secret } from '../../shared/runtime/secret.ts'
import { loadSettings, optionalPort } from '../../shared/runtime/settings.ts'
import { runCommand, toEdgePort } from '../command.ts'
import { createOperationsOf } from '../doctor/operations.ts'
import { environmentAt } from '../start/plan.ts'
import { type Answer, explainAsset, explainUser, explainView } from './explain.ts'

const name = 'npm run why'

const usage = `Usage: npm run why -- VIEW | asset/ID | user/ID

Explains a number, or what became of one play.

  VIEW           the id of a view, from the header view-id of the response to a play; also draws its trace
  asset/ID       the counts of an asset
  user/ID        the counts of a user

  --port N       port of the edge, as for npm start; all other ports shift by the same amount

  PLAY_URL       URL of play (default: http://127.0.0.1:${services.play.port})
  REPORTING_URL  URL of reporting (default: http://127.0.0.1:${services.reporting.port})
  READ_TOKEN     token for reads that name users, if play and reporting require one
  OPS_PORT       port of play for operations, if it has one, for the trace of a view

Exits with status 1 if it is unknown.`

const options = { port: { type: 'string', default: String(services.play.port) } } as const
const shape = {
  PLAY_URL: urlsOf(services.play),
  REPORTING_URL: urlsOf(services.reporting),
  READ_TOKEN: readToken,
  OPS_PORT: optionalPort('Port of play for operations'),
}

await runCommand({ name, usage, options, dotEnv: true, takesArguments: true }, async ({ port }, given) => {
  const [subject, ...rest] = given
  if (subject === undefined || rest.length > 0) throw new UsageError('expected one argument; --help shows the usage')
  const ask = toQuestion(subject)
  const env = environmentAt(toEdgePort(port), process.env)
  const { PLAY_URL, REPORTING_URL, OPS_PORT, READ_TOKEN: token } = loadSettings(shape, { args: [], env })
  const [play = '', reporting = ''] = [PLAY_URL[0], REPORTING_URL[0]]
  const { lines, isKnown } = await ask({ play, operations: createOperationsOf(OPS_PORT)(play), reporting, token })
  process.stdout.write(lines.map((line) => `${line}\n`).join(''))
  return isKnown ? 0 : 1
})

type Target = { play: string; operations: string; reporting: string; token: Secret | undefined }

/** @throws UsageError */
function toQuestion(subject: string): (target: Target) => Promise<Answer> {
  const [kind, id] = subject.split('/', 2)
  if (kind === 'asset' && AssetId.safeParse(id).success) return ({ reporting }) => explainAsset(reporting, id ?? '')
  if (kind === 'user' && UserId.safeParse(id).success)
    return ({ reporting, token }) => explainUser(reporting, id ?? '', token)
  if (id === undefined && View.shape.id.safeParse(subject).success) return (target) => explainView(target, subject)
  throw new UsageError(`${JSON.stringify(subject)} is neither a view id, nor asset/ID, nor user/ID`)
}
