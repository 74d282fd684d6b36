import { controlsUrl } from '../console/controls/proxy.ts'
import { services, urlsOf } from '../services.ts'
import { upstreamCa } from '../shared/client/settings.ts'
import { eventsMaxAge } from '../shared/event-log/settings.ts'
import { readToken } from '../shared/http/read-token.ts'
import { writeToken } from '../shared/http/write-token.ts'
import { eventsReplicas, natsSettings } from '../shared/nats/settings.ts'
import { dataDir, duration, optionalFlag, optionalOrigins } from '../shared/runtime/settings.ts'
import { identitySettings } from './identity/settings.ts'
import { limitSettings } from './limits/settings.ts'
import { operationsSettings } from './operations.ts'
import { rightsSettings } from './rights/audience.ts'
import { signingSettings } from './signing/settings.ts'

/** Short enough to leave time for the upstream calls and the outbox within the one second that a play may take. */
export const APPEND_TIMEOUT_MS = 300

/** The edge's settings, whether or not the other services share its process. */
export const edgeSettings = {
  CATALOGUE_TTL: duration('5s', 'How long cached asset data stays fresh'),
  WRITE_TOKEN: writeToken,
  READ_TOKEN: readToken,
  CORS_ORIGINS: optionalOrigins('Origins whose pages may send plays and read the responses, separated by commas'),
  CONTROLS_URL: controlsUrl,
  ...limitSettings,
  ...identitySettings,
  ...operationsSettings,
  ...rightsSettings,
  ...signingSettings,
}

export const playSettings = {
  METADATA_URL: urlsOf(services.metadata),
  CDNURL_URL: urlsOf(services.cdnurl),
  REPORTING_URL: urlsOf(services.reporting),
  QUEUE_LISTENER_URL: urlsOf(services['queue-listener']),
  PLAY_URL: optionalOrigins('URLs of all play instances, separated by commas, for /status'),
  UPSTREAM_CA: upstreamCa,
  ...edgeSettings,
}

export const processSettings = {
  ...playSettings,
  ...natsSettings,
  DATA_DIR: dataDir,
  EVENTS_MAX_AGE: eventsMaxAge,
  EVENTS_REPLICAS: eventsReplicas,
  APPEND_TIMEOUT: duration(
    `${APPEND_TIMEOUT_MS}ms`,
    'How long a play waits for the log before its view goes to the outbox; at least twice the round trip to NATS',
  ),
  REUSE_PORT: optionalFlag('1: other play processes may listen on the same port, if each of them sets this'),
}
