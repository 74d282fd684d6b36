import { createStaticDiscovery } from '../shared/discovery/static.ts'
import { runService } from '../shared/service/run-service.ts'
import { embedded } from './service.ts'

/**
 * With Consul, the services register, but call only one another, because other processes do not share this event log.
 */
const { instancesOf } = createStaticDiscovery()

await runService({
  ...embedded,
  start: (service, settings) =>
    embedded.start({ ...service, discovery: { ...service.discovery, instancesOf } }, settings),
})
