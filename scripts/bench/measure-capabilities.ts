import { startSystem } from '../../tests/harness/system.ts'
import { type CapabilityName, startCapability, whyUnavailable } from './capabilities.ts'
import { expectAllCounted } from './counted.ts'
import { type Load, measure, warmUp } from './measure.ts'
import { showProgress } from './output.ts'
import { seed } from './seed.ts'
import { toTable } from './table.ts'
import { type CountedTarget, toCountedTarget } from './target.ts'
import { natsOptionsOf } from './targets.ts'

const OFF = 'all of them off'

type Options = { fsync: boolean; load: Load; capabilities: CapabilityName[] }

/** Measures the system without capabilities and with each capability, and checks that every play was counted. */
export async function* measureCapabilities({ fsync, load, capabilities }: Options): AsyncGenerator<string> {
  await using stack = new AsyncDisposableStack()
  const natsOptions = natsOptionsOf({ fsync })
  showProgress(`starting: ${OFF}`)
  const system = stack.use(await startSystem({}, natsOptions))
  await seed(system)
  const targets: CountedTarget[] = [toCountedTarget(OFF, system)]
  for (const reason of capabilities.map(whyUnavailable)) if (reason) yield reason
  const present = capabilities.filter((name) => !whyUnavailable(name))
  showProgress(`starting: ${present.join(', ')}`)
  const start = async (name: CapabilityName) => stack.use(await startCapability(name, system, natsOptions))
  targets.push(...(await Promise.all(present.map(start))))
  await warmUp(targets, load)
  yield toTable(await measure(targets, load), { row: OFF, heading: 'vs off' })
  showProgress('counting')
  yield await expectAllCounted(targets)
}
