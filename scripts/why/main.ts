import { services, urlsOf } from '../../services.ts'
import { AssetId, UserId } from '../../shared/contracts/ids.ts'
import { View } from '../../shared/contracts/view.ts'
import { readToken } from '../../shared/http/read-token.ts'
import { UsageError } from '../../shared/runtime/command-line.ts'
import type { Secret } from '../../shared/runtime/secret.ts'
import { loadSettings, optionalPort } from '../../shared/runtime/settings.ts'
import { edgePortOption, loadEnvironment, runCommand, toOperations } from '../command.ts'
import { toOneLine } from '../table.ts'
import { type Answer, explainAsset, explainUser, explainView } from './explain.ts'

const name = 'npm run why'

const usage = `Usage: npm run why -- VIEW | asset/ID | user/ID

Explains a count, or what became of one play.

  VIEW           a view's id, from the header view-id in the response to a play; also draws its trace
  asset/ID       an asset's counts
  user/ID        a user's counts

  --port N       the edge's port, as for npm start (default: ${services.play.port}); all other ports shift by the same amount. Overrides
                 PLAY_URL and REPORTING_URL

  PLAY_URL       play's URL (default: http://127.0.0.1:${services.play.port})
  REPORTING_URL  reporting's URL (default: http://127.0.0.1:${services.reporting.port})
  READ_TOKEN     token for reads that name users, if play and reporting require one
  OPS_PORT       play's port for operations, if it has one, for the trace of a view

Exits with status 1 if there is no explanation.`

const options = edgePortOption
const shape = {
  PLAY_URL: urlsOf(services.play),
  REPORTING_URL: urlsOf(services.reporting),
  READ_TOKEN: readToken,
  OPS_PORT: optionalPort("play's port for operations"),
}

await runCommand({ name, usage, options, dotEnv: true, takesArguments: true }, async ({ port }, given) => {
  const [subject, ...rest] = given
  if (subject === undefined || rest.length > 0) throw new UsageError('expected one argument; --help shows the usage')
  const explain = toExplainer(subject)
  const settings = loadSettings(shape, { args: [], env: loadEnvironment(port) })
  const { PLAY_URL, REPORTING_URL, OPS_PORT, READ_TOKEN: token } = settings
  const [play = '', reporting = ''] = [PLAY_URL[0], REPORTING_URL[0]]
  const { lines, isKnown } = await explain({ play, operations: toOperations(play, OPS_PORT), reporting, token })
  process.stdout.write(lines.map((line) => `${toOneLine(line)}\n`).join(''))
  return isKnown ? 0 : 1
})

type Target = { play: string; operations: string; reporting: string; token: Secret | undefined }

/** @throws UsageError */
function toExplainer(subject: string): (target: Target) => Promise<Answer> {
  const [kind, ...rest] = subject.split('/')
  const id = rest.join('/')
  if (kind === 'asset' && AssetId.safeParse(id).success) return ({ reporting }) => explainAsset(reporting, id)
  if (kind === 'user' && UserId.safeParse(id).success)
    return ({ reporting, token }) => explainUser(reporting, id, token)
  if (rest.length === 0 && View.shape.id.safeParse(subject).success) return (target) => explainView(target, subject)
  throw new UsageError(`${JSON.stringify(subject)} is neither a view id, nor asset/ID, nor user/ID`)
}
