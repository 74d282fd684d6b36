import { type ServiceEntry, serviceEntries, urlsOf } from '../../services.ts'
import { discoverySettings } from '../../shared/discovery/settings.ts'
import { eventsMaxAge } from '../../shared/event-log/settings.ts'
import { natsUrl } from '../../shared/nats/settings.ts'
import { dataDir, loadSettings } from '../../shared/runtime/settings.ts'
import { environmentAt } from '../start/plan.ts'

const shape = { NATS_URL: natsUrl, DATA_DIR: dataDir, EVENTS_MAX_AGE: eventsMaxAge, ...discoverySettings }
const urlShape = Object.fromEntries(serviceEntries.map((service) => [service.urlSetting, urlsOf(service)]))

/**
 * The settings that `npm start` passes to the services.
 * @throws UsageError
 */
export function loadDoctorSettings(edgePort: number, given: NodeJS.ProcessEnv) {
  const source = { args: [], env: environmentAt(edgePort, given) }
  const urls = loadSettings(urlShape, source)
  return { ...loadSettings(shape, source), originsOf: ({ urlSetting }: ServiceEntry) => urls[urlSetting] ?? [] }
}
