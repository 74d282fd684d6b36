import { origins } from './shared/runtime/settings.ts'

export type ServiceEntry = {
  name: string
  /** Default port. `npm start -- --port N` shifts the ports of all services. */
  port: number
  /** The setting for the URLs of the service's instances. */
  urlSetting: string
  /** A short description for the console. */
  role: string
  /** The effect of an outage, for the doctor. */
  whenDown: string
}

/** All services. `npm start`, the doctor, the console, the tests and the services themselves read this list. */
export const services = {
  play: {
    name: 'play',
    port: 8080,
    urlSetting: 'PLAY_URL',
    role: 'aggregates and records',
    whenDown: 'nothing can be played',
  },
  metadata: {
    name: 'metadata',
    port: 8081,
    urlSetting: 'METADATA_URL',
    role: 'title, genre, summary',
    whenDown: 'plays are served from the cache',
  },
  reporting: {
    name: 'reporting',
    port: 8082,
    urlSetting: 'REPORTING_URL',
    role: 'counts views',
    whenDown: 'plays have null counts',
  },
  cdnurl: {
    name: 'cdnurl',
    port: 8083,
    urlSetting: 'CDNURL_URL',
    role: 'playback URL',
    whenDown: 'plays are served from the cache',
  },
  'queue-listener': {
    name: 'queue-listener',
    port: 8084,
    urlSetting: 'QUEUE_LISTENER_URL',
    role: 'delivers views to reporting',
    whenDown: 'views stay in the log, and counts stall',
  },
} as const satisfies Record<string, ServiceEntry>

export type ServiceName = keyof typeof services

export const serviceEntries: readonly (ServiceEntry & { name: ServiceName })[] = Object.values(services)

/** The setting for a service's URLs. */
export function urlsOf({ name, port }: ServiceEntry) {
  return origins(`http://127.0.0.1:${port}`, `${name}'s URLs, separated by commas`)
}
