import { createCatalogue } from '../console/catalogue.ts'
import { createConsole } from '../console/console.ts'
import { createControlsProxy } from '../console/controls/proxy.ts'
import { createHistory } from '../console/history/history.ts'
import { createSeriesReader } from '../console/series.ts'
import { createStatus } from '../console/status.ts'
import type { Invalidations } from '../shared/catalogue/invalidations.ts'
import type { EventLog } from '../shared/event-log/event-log.ts'
import type { ServiceSettings } from '../shared/service/run-service.ts'
import type { Service } from '../shared/service/service.ts'
import type { Outbox } from './outbox.ts'
import type { playSettings } from './settings.ts'
import type { openUpstreams } from './upstreams.ts'

type Settings = Pick<ServiceSettings<typeof playSettings>, 'CONTROLS_URL' | 'CDN_BASE_URL'>

type Options = {
  upstreams: Awaited<ReturnType<typeof openUpstreams>>
  eventLog: EventLog
  outbox: Outbox | undefined
  invalidations: Invalidations
  historyFile: string
  /** The number of views in the outbox; undefined if there is no outbox. */
  backlog: (() => number) | undefined
}

/** Creates the console with this process's clients and dependencies. The caller must start the returned history. */
export function openConsole(
  service: Service,
  { CONTROLS_URL, CDN_BASE_URL }: Settings,
  { upstreams, eventLog, outbox, invalidations, historyFile, backlog }: Options,
) {
  const { health, log, resources } = service
  const { clients, metadata, reporting } = upstreams
  const catalogue = createCatalogue({ metadata, reporting, log })
  const systems = Object.values(clients)
  const dependencies = {
    events: eventLog.state,
    ...(outbox && { outbox: outbox.state }),
    ...(service.discovery.state && { consul: service.discovery.state }),
  }
  const history = resources.use(
    createHistory({ ...service, file: historyFile, clients: systems, dependencies, backlog }),
  )
  const status = createStatus({ health, clients: systems, invalidations, backlog, history })
  const readSeries = createSeriesReader({ reporting: clients.reporting })
  const controls = CONTROLS_URL === undefined ? undefined : resources.use(createControlsProxy(CONTROLS_URL))
  const cdnOrigin = CDN_BASE_URL === undefined ? undefined : new URL(CDN_BASE_URL).origin
  return { console: createConsole({ catalogue, readSeries, status, history, clients, controls, cdnOrigin }), history }
}
