import type { LogPosition } from '../../shared/contracts/position.ts'
import { missingAfter } from '../../shared/event-log/extent.ts'
import { plural } from '../doctor/finding.ts'
import {
  CountsError,
  type Instance,
  readInstances,
  readLog,
  readLostViews,
  readPosition,
  type Target,
} from './system.ts'

/** Prints how far the log is counted, by which instances, and which views are lost. */
export async function printStatus(target: Target): Promise<void> {
  const instances = await readInstances(target)
  const rows = [...instances.map(toInstanceRow), ...(await toLogRows(target))]
  const up = instances.find(({ readiness }) => readiness)
  if (!up) rows.push(['position', 'unknown: reporting is not reachable'])
  else rows.push(...(await toPositionRows(up.origin, target)))
  const width = Math.max(...rows.map(([name]) => name.length))
  process.stdout.write(rows.map(([name, text]) => `${name.padEnd(width)}  ${text}\n`).join(''))
}

type Row = [name: string, text: string]

function toInstanceRow({ origin, readiness }: Instance): Row {
  const { state = 'ready', store = 'unknown' } = readiness?.counting ?? {}
  return ['reporting', readiness ? `${origin}: counts are ${state}, in the store ${store}` : `${origin}: unreachable`]
}

async function toLogRows(target: Target): Promise<Row[]> {
  try {
    const extent = (await readLog(target))?.extent
    if (!extent) return [['log', 'does not exist yet']]
    const { first, last } = extent
    return [['log', first > last ? `empty; the last sequence was ${last}` : `sequences ${first} to ${last}`]]
  } catch (error) {
    if (!(error instanceof CountsError)) throw error
    return [['log', error.message]]
  }
}

async function toPositionRows(origin: string, target: Target): Promise<Row[]> {
  const position = await readPosition(origin)
  const lost = await readLostViews(origin)
  return [
    ['position', toText(position)],
    ...(await toMissingRows(position, target)),
    ['lost', lost === undefined ? 'unknown' : plural(lost, 'view')],
  ]
}

async function toMissingRows(position: LogPosition | undefined, target: Target): Promise<Row[]> {
  const extent = await readLog(target).then(
    (log) => log?.extent,
    () => undefined,
  )
  const missing = extent && missingAfter(position, extent)
  if (!missing) return []
  const { from, to } = missing
  return [['missing', `${plural(to - from + 1, 'message')}, ${from} to ${to}: see npm run counts -- accept-loss`]]
}

function toText(position: LogPosition | undefined): string {
  return position ? `${position.sequence} in ${position.incarnation}` : 'nothing is counted'
}
