import { createStaticDiscovery } from '../shared/discovery/static.ts'
import { runService } from '../shared/service/run-service.ts'
import { embedded } from './service.ts'

/** With Consul, the services register but call only each other: other instances do not have the log of this process. */
const { instancesOf } = createStaticDiscovery()

await runService({
  ...embedded,
  start: (service, settings) =>
    embedded.start({ ...service, discovery: { ...service.discovery, instancesOf } }, settings),
})
