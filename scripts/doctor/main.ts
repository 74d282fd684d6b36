import { existsSync } from 'node:fs'
import { SettingsError } from '../../shared/runtime/settings.ts'
import { many } from './counting.ts'
import { type Examined, examine } from './examine.ts'
import { toText } from './line.ts'
import { loadDoctorSettings, readArguments } from './settings.ts'

/** Connections to who hangs need not be waited for once all is said. */
const LAST_RESORT_MS = 100

const usage = `Usage: npm run doctor [-- --port N]

Looks at what runs, and changes nothing: a line for each thing, with what to do about what is wrong. Exit status 1 where
a line says FAIL; what says warn works, and wants a look. Settings: those of the services (see .env.example), and

  PLAY_URL   where play is (default: http://127.0.0.1:8080)

  --port N   port of the edge (default: 8080); all other ports, that of NATS too, move by as much
`

process.exitCode = await main()
setTimeout(() => process.exit(), LAST_RESORT_MS).unref()

/** @returns the exit status */
async function main(): Promise<number> {
  if (existsSync('.env')) process.loadEnvFile('.env')
  try {
    const { port, help } = readArguments(process.argv.slice(2))
    if (!help) return report(await examine(loadDoctorSettings(port, process.env)))
    process.stdout.write(usage)
    return 0
  } catch (error) {
    if (!(error instanceof SettingsError)) throw error
    process.stderr.write(`npm run doctor: ${error.message}\n`)
    return 2
  }
}

function report({ lines, nothingRuns }: Examined): number {
  const wrong = lines.filter(({ mark }) => mark === 'FAIL').length
  const sum = wrong === 0 ? 'Nothing is wrong.' : `${many(wrong, 'thing')} wrong.`
  const hint = nothingRuns ? ' Nothing runs here: `npm start` starts everything.' : ''
  process.stdout.write(`${toText(lines, process.stdout.isTTY)}\n${sum}${hint}\n`)
  return wrong === 0 ? 0 : 1
}
