import { services } from '../../services.ts'
import { pinnedNode } from '../../shared/runtime/version.ts'
import { edgePortOption, runCommand } from '../command.ts'
import { plural } from '../plural.ts'
import { checkCdn } from './cdn.ts'
import { addressUnset } from './consul.ts'
import { checkDisk, diagnoseSetAside } from './data-directory.ts'
import { checkDatabase } from './database.ts'
import { type Finding, findingsAbout, toText } from './finding.ts'
import { checkLog } from './log.ts'
import { checkOutboxes } from './outbox.ts'
import { checkPublic } from './public.ts'
import { checkReporting } from './reporting.ts'
import { diagnoseServices } from './services.ts'
import { openSystem, type System } from './system.ts'

type Check = (system: System) => Finding[] | Promise<Finding[]> | AsyncGenerator<Finding>

/** All checks except those of the services' state, in the order of their findings. */
const checks: Check[] = [
  checkLog,
  checkReporting,
  checkDatabase,
  checkOutboxes,
  diagnoseSetAside,
  diagnoseDiscovery,
  checkCdn,
  diagnoseNode,
  checkDisk,
  checkPublic,
]

const usage = `Usage: npm run doctor [-- --port N] [-- --cluster] [-- --public]

Checks the running system without changing it, and prints one line per check, with a fix for each problem. FAIL: something
is broken, and the exit status is 1. warn: everything works, but something needs attention. Reads the services'
settings (see .env.example), and

  PLAY_URL   play's URLs, separated by commas (default: http://127.0.0.1:${services.play.port})

  --port N   the edge's port, as for npm start (default: ${services.play.port}); all other ports shift by the same amount. Overrides the
             services' URLs, but not NATS_URL
  --cluster  check the three NATS servers that npm start -- --cluster runs
  --public   also check what strangers can reach, and report FAIL for each exposure on the checklist in
             docs/security.md`

const flag = { type: 'boolean', default: false } as const
const options = { ...edgePortOption, cluster: flag, public: flag } as const

await runCommand({ name: 'npm run doctor', usage, options, dotEnv: true }, async (flags) => {
  const system = await openSystem(flags)
  // The checks run in parallel, so that several timeouts take no longer than one.
  const checking = checks.map(async (check) => Array.fromAsync(await check(system)))
  const others = (await Promise.all(checking)).flat()
  const findings = [...diagnoseServices(await system.inspected, others), ...others]
  const failures = findings.filter(({ severity }) => severity === 'FAIL').length
  const summary = failures === 0 ? 'No problems found.' : `${plural(failures, 'problem')}.`
  const hint = (await system.isNothingRunning) ? ' Nothing is running: `npm start` starts everything.' : ''
  process.stdout.write(`${toText(findings)}\n${summary}${hint}\n`)
  return failures === 0 ? 0 : 1
})
// Connections to a hung process would delay the exit.
setTimeout(() => process.exit(), 100).unref()

async function diagnoseDiscovery({ consul, settings, uses }: System): Promise<Finding[]> {
  return !settings.CONSUL_HTTP_ADDR && (await uses('consul')) ? [addressUnset] : consul
}

function diagnoseNode(): Finding[] {
  const { node } = process.versions
  const { ok, warn } = findingsAbout('node')
  if (node === pinnedNode) return [ok(`${node}, as pinned`)]
  return [warn(`${node}, but the project is tested with ${pinnedNode}: npm run doctor uses that version`)]
}
