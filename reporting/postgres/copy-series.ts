import { type FrozenSeries, thawSteps } from '../maps/series-map.ts'
import type { Send } from './database.ts'
import { toLiteral } from './literals.ts'
import { insertSeries, toSeriesRows } from './series.ts'

const STATEMENT_ROWS = 20_000

/** Copies the series, and the start times of the per-asset counts. */
export async function copySeries(send: Send, series: FrozenSeries): Promise<void> {
  for (const step of thawSteps(series)) {
    const rows = [...toSeriesRows([step])]
    for (let n = 0; n < rows.length; n += STATEMENT_ROWS) await send(insertSeries(rows.slice(n, n + STATEMENT_ROWS)))
  }
  const { hour, day } = series.since
  await send(
    `update reporting.state set series_hour_since = ${toLiteral(hour)}, series_day_since = ${toLiteral(day)};
      analyze reporting.series`,
  )
}
