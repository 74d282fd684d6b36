import type { LogPosition } from '../../shared/contracts/position.ts'
import { type LogExtent, missingAfter } from '../../shared/event-log/extent.ts'
import { plural } from '../plural.ts'
import { alignColumns } from '../table.ts'
import {
  CountsError,
  type Instance,
  readInstances,
  readLog,
  readLostViews,
  readPosition,
  type Target,
} from './system.ts'

/** Prints how far reporting has counted the log, each instance's store, and the number of lost views. */
export async function printStatus(target: Target): Promise<void> {
  const instances = await readInstances(target)
  const up = instances.find(({ readiness }) => readiness)
  // Read the log before the position. Otherwise, messages that are counted and then expire between the two reads would
  // look missing.
  const log = await readExtent(target)
  const rows = [...instances.map(toInstanceRow), toLogRow(log)]
  if (!up) rows.push(['position', 'unknown: reporting is not reachable'])
  else rows.push(...(await toPositionRows(up.origin, log)))
  process.stdout.write(`${alignColumns(rows, 0, 1)}\n`)
}

type Row = [name: string, text: string]

function toInstanceRow({ origin, readiness }: Instance): Row {
  const { state = 'ready', store = 'unknown' } = readiness?.counting ?? {}
  return ['reporting', readiness ? `${origin}: counts are ${state}, in the store ${store}` : `${origin}: unreachable`]
}

/** @returns undefined if the log does not exist; the error if it cannot be read */
async function readExtent(target: Target): Promise<LogExtent | CountsError | undefined> {
  try {
    return (await readLog(target))?.extent
  } catch (error) {
    if (!(error instanceof CountsError)) throw error
    return error
  }
}

function toLogRow(log: LogExtent | CountsError | undefined): Row {
  if (!log) return ['log', 'does not exist yet']
  if (log instanceof CountsError) return ['log', log.message]
  const { first, last } = log
  return ['log', first > last ? `empty; the last sequence was ${last}` : `sequences ${first} to ${last}`]
}

async function toPositionRows(origin: string, log: LogExtent | CountsError | undefined): Promise<Row[]> {
  const position = await readPosition(origin)
  const lost = await readLostViews(origin)
  return [
    ['position', toText(position)],
    ...(log && !(log instanceof CountsError) ? toMissingRows(position, log) : []),
    ['lost', lost === undefined ? 'unknown' : plural(lost, 'view')],
  ]
}

function toMissingRows(position: LogPosition | undefined, extent: LogExtent): Row[] {
  const missing = missingAfter(position, extent)
  if (!missing) return []
  const { from, to } = missing
  return [['missing', `${plural(to - from + 1, 'message')}, ${from} to ${to}: see npm run counts -- accept-loss`]]
}

function toText(position: LogPosition | undefined): string {
  return position ? `${position.sequence} in ${position.incarnation}` : 'nothing is counted'
}
