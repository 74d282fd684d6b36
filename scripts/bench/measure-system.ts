import { expectAllCounted } from './counted.ts'
import { measureLayers } from './layers.ts'
import { hasWrk } from './load.ts'
import { type Load, measure, type Result, warmUp } from './measure.ts'
import { measureOpenLoop } from './open-loop.ts'
import { showProgress } from './output.ts'
import { toTable } from './table.ts'
import type { Target } from './target.ts'
import { BARE, SYSTEM, startTargets, type TargetOptions, type Targets } from './targets.ts'

/** The request rate of the open loop, as a fraction of the highest throughput. */
const OPEN_LOOP_SHARE = 1 / 4

type Options = TargetOptions & {
  load: Load
  /** The number of connections for the profile. */
  usual: number
  openLoop: boolean
  layers: boolean
}

/** Measures the system and the other targets that the options select, and checks that every play was counted. */
export async function* measureSystem(options: Options): AsyncGenerator<string> {
  const { load, usual } = options
  showProgress('starting')
  await using targets = await startTargets(options)
  await warmUp(targets.all, load)
  const results = await measure(targets.all, load)
  yield toTable(results, { row: BARE, heading: 'vs bare' })
  if (options.openLoop) yield* openLoop(targets, results, load)
  showProgress('profiling')
  await using layers = options.layers
    ? await measureLayers(targets.system, { connections: usual, seconds: load.seconds })
    : undefined
  if (layers) yield layers.table
  showProgress('counting')
  yield await expectAllCounted([...targets.counted, ...(layers ? [layers.play] : [])])
}

async function* openLoop(targets: Targets, results: Result[], { seconds, rounds }: Load) {
  if (!hasWrk) {
    yield 'open loop: skipped, because wrk is not installed\n'
    return
  }
  const capacity = Math.max(...results.filter(({ name }) => name === SYSTEM).map(({ perSecond }) => perSecond))
  const perSecond = Math.round(capacity * OPEN_LOOP_SHARE)
  const compared: [Target, Target] = [find(targets, SYSTEM), find(targets, BARE)]
  yield* measureOpenLoop({ system: targets.system, targets: compared, perSecond, seconds, rounds })
}

function find({ all }: Targets, wanted: string): Target {
  const target = all.find(({ name }) => name === wanted)
  if (!target) throw new Error(`${wanted} was not started`)
  return target
}
