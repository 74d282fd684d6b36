import { formatMs } from '../../console/page/format-ms.js'
import { isSpanOf, toWaterfall } from '../../console/page/plays/waterfall.js'
import { SystemTrace, TracedPlays } from '../../shared/contracts/trace.ts'
import type { Secret } from '../../shared/runtime/secret.ts'
import { probe } from '../http.ts'

const BAR = 32
const NAME_WIDTH = 48

/**
 * Draws a view's waterfall as lines, or explains why there is none.
 * @param play the origin at which play serves its routes for operations
 */
export async function drawWaterfall(play: string, viewId: string, token?: Secret): Promise<string[]> {
  const list = TracedPlays.safeParse(
    (await probe(`${play}/traces?viewId=${encodeURIComponent(viewId)}`, { token })).json,
  ).data
  if (!list) return [`Trace: play at ${play} does not list its traces (is OPS_PORT or READ_TOKEN missing here?)`]
  const [traced] = list.traces
  if (!traced) return ['Trace: not recorded, or no longer kept (TRACES_KEPT)']
  const { traceId } = traced
  const trace = SystemTrace.safeParse((await probe(`${play}/traces/${traceId}`, { token })).json).data
  const waterfall = trace && toWaterfall(trace.spans, isSpanOf(traced))
  if (!waterfall) return [`Trace: ${traceId} is no longer kept (TRACES_KEPT)`]
  return [
    `Trace: ${traceId}, request ${traced.requestId}`,
    waterfall.summary,
    ...waterfall.sections.flatMap(drawSection),
    ...(trace.missing.length > 0 ? [`Incomplete: ${trace.missing.join(', ')} did not respond.`] : []),
  ]
}

type Section = NonNullable<ReturnType<typeof toWaterfall>>['sections'][number]

function drawSection({ title, fromMs, toMs, rows }: Section): string[] {
  const lines = rows.map((row) => {
    const name = `${'  '.repeat(row.depth)}${row.service}: ${row.name}`.slice(0, NAME_WIDTH).padEnd(NAME_WIDTH)
    const remark = [row.isMarker ? '' : formatMs(row.durationMs).padStart(8), row.isFailed ? 'FAILED' : '', row.detail]
    return `  ${name} ${row.isMarker ? ' '.repeat(BAR) : drawBar(row, fromMs, toMs)} ${remark.filter(Boolean).join('  ')}`
  })
  return ['', `${title}:`, ...lines.map((line) => line.trimEnd())]
}

function drawBar({ startMs, durationMs }: Section['rows'][number], fromMs: number, toMs: number): string {
  const scale = BAR / Math.max(toMs - fromMs, 0.001)
  const start = Math.min(BAR - 1, Math.floor((startMs - fromMs) * scale))
  const length = Math.max(1, Math.min(BAR - start, Math.round(durationMs * scale)))
  return `${'·'.repeat(start)}${'█'.repeat(length)}`.padEnd(BAR, '·')
}
