import { type ServiceEntry, serviceEntries, services } from '../../services.ts'
import { edgePortOption, runCommand, toEdgePort } from '../command.ts'
import { needsEmbedded } from '../start/plan.ts'
import { checkConsul } from './consul.ts'
import { about, plural, toText } from './finding.ts'
import { checkMetrics, checkNats } from './log.ts'
import { checkMachine } from './machine.ts'
import { checkOutbox, checkOutboxFiles } from './outbox.ts'
import { diagnoseInstances, diagnoseReplicas, inspect } from './services.ts'
import { loadDoctorSettings } from './settings.ts'

const usage = `Usage: npm run doctor [-- --port N]

Checks the running system without changing it, and prints one line per check, with a fix for each problem. FAIL: something
is broken, and the exit status is 1. warn: everything works, but something needs attention. Settings: those of the
services (see .env.example), and

  PLAY_URL   URLs of play, separated by commas (default: http://127.0.0.1:${services.play.port})

  --port N   port of the edge (default: ${services.play.port}); all other ports, including that of NATS, shift by the same amount`

await runCommand({ name: 'npm run doctor', usage, options: edgePortOption, dotEnv: true }, async ({ port }) => {
  const { findings, isNothingRunning } = await examine(loadDoctorSettings(toEdgePort(port), process.env))
  const failures = findings.filter(({ severity }) => severity === 'FAIL').length
  const summary = failures === 0 ? 'No problems found.' : `${plural(failures, 'problem')}.`
  const hint = isNothingRunning ? ' Nothing is running: `npm start` starts everything.' : ''
  process.stdout.write(`${toText(findings)}\n${summary}${hint}\n`)
  return failures === 0 ? 0 : 1
})
// Connections to a hung process would delay the exit.
setTimeout(() => process.exit(), 100).unref()

async function examine(settings: ReturnType<typeof loadDoctorSettings>) {
  const { NATS_URL: servers, EVENTS_MAX_AGE: maxAgeMs, DATA_DIR, CONSUL_HTTP_ADDR } = settings
  const consul = await checkConsul(settings)
  const originsOf = (service: ServiceEntry) => {
    const registered = consul.origins.get(service) ?? []
    return registered.length > 0 ? registered : settings.originsOf(service)
  }
  const plays = originsOf(services.play)

  // In parallel, so that multiple timeouts take no longer than one.
  const [inspected, nats, metrics, outboxes, files, machine] = await Promise.all([
    Promise.all(serviceEntries.flatMap((service) => originsOf(service).map((origin) => inspect(service, origin)))),
    Array.fromAsync(checkNats({ servers, maxAgeMs, reporting: originsOf(services.reporting) })),
    Array.fromAsync(checkMetrics(originsOf(services['queue-listener']))),
    Promise.all(plays.map((play) => Array.fromAsync(checkOutbox(play)))),
    checkOutboxFiles(DATA_DIR, plays),
    Array.fromAsync(checkMachine(DATA_DIR)),
  ])

  const uses = (dependency: string) => inspected.some(({ dependencies }) => dependency in dependencies)
  const embedded = about('log').ok('embedded mode: a file in DATA_DIR, without NATS')
  const log = uses('events') ? [embedded, ...metrics] : nats
  const unset = about('consul').warn('the services use Consul: set CONSUL_HTTP_ADDR here too, so that it is checked')
  const discovery = uses('consul') && !CONSUL_HTTP_ADDR ? [unset] : consul.findings
  const instances = diagnoseInstances(inspected, [...log, ...discovery])
  const replicas = serviceEntries.flatMap((service) => [...diagnoseReplicas(service, inspected)])
  const isNothingRunning = inspected.every(({ ready }) => ready.outcome === 'unreachable')
  // If nothing is running and `npm start` would use embedded mode, NATS is not needed.
  const neededLog = isNothingRunning && needsEmbedded(process.env) ? [] : log
  const findings = [...instances, ...replicas, ...neededLog, ...outboxes.flat(), ...files, ...discovery, ...machine]
  return { findings, isNothingRunning }
}
