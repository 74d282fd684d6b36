import { services } from '../../services.ts'
import { Audit, accountedViews } from '../../shared/contracts/audit.ts'
import { LostViews } from '../../shared/contracts/lost-views.ts'
import { probe } from '../http.ts'
import { plural } from '../plural.ts'
import { type Finding, findingsAbout } from './finding.ts'
import { toMetric } from './metrics.ts'
import type { Inspected } from './services.ts'
import type { System } from './system.ts'

/** Maximum number of gaps to print. */
const MAX_GAPS = 5
/** The threshold of the CheckpointOld alert. */
const OLD_S = 3_600

/** Checks that the log has lost no views, and that each instance of reporting saves counts that add up. */
export async function checkReporting({ originsOf, inspectedOf }: System): Promise<Finding[]> {
  const origins = originsOf(services.reporting)
  const saving = inspectedOf(services.reporting).then((instances) => instances.map(diagnoseSaving))
  const findings = [Promise.all(origins.map(checkLosses)), saving, Promise.all(origins.map(checkAudit))]
  return (await Promise.all(findings)).flat(2)
}

async function checkLosses(origin: string): Promise<Finding[]> {
  const { warn, fail } = findingsAbout('log')
  const { outcome, json } = await probe(`${origin}/events/lost`)
  const lost = LostViews.safeParse(json).data
  if (!lost && outcome === 'response')
    return [warn(`${origin} does not say whether the log lost views: see reporting's GET /events/lost`)]
  if (!lost?.views) return []
  const gaps = lost.gaps.slice(-MAX_GAPS).map(({ producer, from, to }) => `${from} to ${to} of ${producer}`)
  const text = `the log lost ${plural(lost.views, 'acknowledged view')}: ${gaps.join(', ')}`
  return [fail(`${text}; repair the storage that NATS writes to, and see reporting's GET /events/lost`)]
}

function diagnoseSaving({ origin, metrics }: Inspected): Finding[] {
  const { ok, warn } = findingsAbout('checkpoint')
  const age = toMetric(metrics, 'checkpoint_age_seconds')
  if (toMetric(metrics, 'checkpoint_failing') === 1) {
    const fix = 'free space on the disk that holds its DATA_DIR, or fix its permissions and restart reporting'
    return [warn(`${origin} cannot save its counts: ${fix}; its log has the reason`)]
  }
  if (age > OLD_S) {
    const text = `the checkpoint of ${origin} lacks the views of the last ${Math.round(age / 60)} min`
    return [warn(`${text}: check the disk, and CHECKPOINT_EVERY`)]
  }
  if (age >= 0) return [ok(`${origin} saves its counts`)]
  const isInMemory = toMetric(metrics, 'counted_ids_max') > 0
  const why = 'it is still loading them, or CHECKPOINT_EVERY is 0s'
  const text = `${origin} does not save its counts, because ${why}: after a restart, it replays the whole log`
  return isInMemory ? [warn(text)] : []
}

/** Skips an instance that is down or runs a previous release. */
async function checkAudit(origin: string): Promise<Finding[]> {
  const { ok, fail } = findingsAbout('audit')
  const audit = Audit.safeParse((await probe(`${origin}/events/audit`)).json).data
  if (!audit) return []
  const { views, qualified, pending, notQualified, direct } = audit
  const parts = [
    `${qualified} qualified`,
    ...Object.entries(notQualified).map(([reason, count]) => `${count} ${reason}`),
    ...(direct > 0 ? [`${direct} counted by a request`] : []),
    ...(pending !== 0 ? [`${pending} pending`] : []),
  ].join(' + ')
  const sum = accountedViews(audit)
  if (sum === views && pending >= 0) return [ok(`${origin} has ${plural(views, 'view')} = ${parts}`)]
  const text = `${origin} has ${plural(views, 'view')}, but ${parts} = ${sum}`
  return [fail(`${text}: npm run audit compares every number with the log`)]
}
