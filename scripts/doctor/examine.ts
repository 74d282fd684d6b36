import { examineConsul } from './consul.ts'
import { askPosition, judgeCounting, lookAtMetrics } from './counting.ts'
import { type Line, ok, warn } from './line.ts'
import { examineMachine } from './machine.ts'
import { examineNats } from './nats.ts'
import { examineOutbox, examineOutboxFiles } from './outbox.ts'
import {
  addressSetting,
  type Instance,
  isEmbedded,
  isOurs,
  judgeInstances,
  judgeService,
  lookAtService,
  SERVICE_NAMES,
  type Seen,
  type ServiceName,
} from './services.ts'
import type { DoctorSettings } from './settings.ts'

const EMBEDDED = ok('log', 'embedded mode: a file under DATA_DIR, and no NATS')

export type Examined = { lines: Line[]; nothingRuns: boolean }

/** Looks at everything, and says what is to be done. */
export async function examine(settings: DoctorSettings): Promise<Examined> {
  const consul = await examineConsul(settings)
  const { seen, nats, embedded, outbox, machine } = await lookAtAll(settings, instancesOf(settings, consul.instances))
  const nothingRuns = seen.every(({ asked }) => asked.came === 'nothing')
  const log = seen.some(isEmbedded) ? [EMBEDDED, ...judgeCounting(embedded)] : nats
  const discovery = [...consul.lines, ...judgeUse(settings, seen)]
  const failing = new Set([
    ...seen.filter((one) => !isOurs(one)).map(({ name }) => name),
    ...[...log, ...discovery].filter(({ mark }) => mark === 'FAIL').map(({ name }) => name),
  ])
  const lines = [
    ...seen.flatMap((one) => judgeService(one, failing)),
    ...judgeInstances(seen),
    // Where nothing runs, and what would be started needs no NATS, nobody misses it.
    ...(nothingRuns && settings.startsEmbedded ? [] : log),
    ...outbox,
    ...discovery,
    ...machine,
  ]
  return { lines, nothingRuns }
}

/** At once, so that all who hang cost no more time than one. */
async function lookAtAll(settings: DoctorSettings, instances: Instance[]) {
  const at = (name: ServiceName) => instances.filter((one) => one.name === name).map(({ origin }) => origin)
  const [seen, nats, embedded, outboxes, files, machine] = await Promise.all([
    Promise.all(instances.map(lookAtService)),
    examineNats({
      servers: settings.NATS_URL,
      maxAgeMs: settings.EVENTS_MAX_AGE,
      askPosition: () => askPosition(at('reporting')),
    }),
    lookAtMetrics(at('queue-listener')),
    Promise.all(at('play').map(examineOutbox)),
    examineOutboxFiles(settings.DATA_DIR, at('play')),
    examineMachine(settings.DATA_DIR),
  ])
  return { seen, nats, embedded, outbox: [...outboxes.flat(), ...files], machine }
}

/** Where each service should be: where Consul finds it, else where the settings say. */
function instancesOf(settings: DoctorSettings, registered: Instance[]): Instance[] {
  return SERVICE_NAMES.flatMap((name) => {
    const found = registered.filter((instance) => instance.name === name)
    return found.length > 0 ? found : settings[addressSetting(name)].map((origin) => ({ name, origin }))
  })
}

function judgeUse({ CONSUL_HTTP_ADDR }: DoctorSettings, seen: Seen[]): Line[] {
  if (CONSUL_HTTP_ADDR || !seen.some(({ readiness }) => readiness && 'consul' in readiness.dependencies)) return []
  return [warn('consul', 'the services use it: set CONSUL_HTTP_ADDR here too, to have it looked at')]
}
