import { createCountMap } from '../../reporting/maps/count-map.ts'
import { Audit } from '../../shared/contracts/audit.ts'
import { eventually } from '../../tests/harness/eventually.ts'
import { getJson } from '../../tests/harness/plays.ts'
import { startService } from '../../tests/harness/service-process.ts'
import { startFilledLog } from './filled-log.ts'

const VIEWS = 1_000_000
const USERS = 1_000_000
const TIMEOUT_MS = 120_000

/**
 * Measures how fast reporting replays a log from its start, and the memory that its counts use.
 * @throws Error unless the counts are correct
 */
export async function measureReplay(): Promise<string> {
  await using log = await startFilledLog({ views: VIEWS, users: USERS })
  await using reporting = await startService('reporting')
  const startedAt = performance.now()
  await using _ = await startService('queue-listener', { NATS_URL: log.url, REPORTING_URL: reporting.url })
  await eventually(async () => {
    const { views } = Audit.parse(await getJson(`${reporting.url}/events/audit`))
    if (views !== VIEWS) throw new Error(`${views} of ${VIEWS} views are counted`)
  }, TIMEOUT_MS)
  const perSecond = VIEWS / ((performance.now() - startedAt) / 1_000)
  await log.verify(reporting.url)
  return [
    `replay of ${VIEWS.toLocaleString('en')} views, appended as play does, including the start of queue-listener: \
${Math.round(perSecond).toLocaleString('en')} views/s`,
    `memory per counted user at ${USERS.toLocaleString('en')} users: ${Math.round(bytesPerUser())} bytes`,
  ].join('\n')
}

/** Returns how many bytes a user's counts take if the user id has 24 characters. */
function bytesPerUser(): number {
  const counts = createCountMap()
  for (let n = 0; n < USERS; n += 1) counts.increment(`user-${n + USERS}@example.com`)
  return counts.bytes() / USERS
}
