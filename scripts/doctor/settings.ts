import { parseArgs } from 'node:util'
import { discoverySettings } from '../../shared/discovery/settings.ts'
import {
  dataDir,
  eventsMaxAge,
  loadSettings,
  natsUrl,
  origins,
  type Settings,
  SettingsError,
} from '../../shared/runtime/settings.ts'
import { natsServerVersion } from '../nats-server.ts'
import { isEdgePort, WRONG_EDGE_PORT } from '../start/edge-port.ts'
import { defaultAddresses, SERVICES } from '../start/plan.ts'

/** Where everything should be, with the edge at a port. */
function shapeAt(edgePort: number) {
  const offset = edgePort - SERVICES.play
  const usual = defaultAddresses(offset)
  return {
    PLAY_URL: origins(`http://127.0.0.1:${edgePort}`, 'Where play is'),
    METADATA_URL: origins(usual.METADATA_URL, 'Where metadata is'),
    CDNURL_URL: origins(usual.CDNURL_URL, 'Where cdnurl is'),
    REPORTING_URL: origins(usual.REPORTING_URL, 'Where reporting is'),
    QUEUE_LISTENER_URL: origins(usual.QUEUE_LISTENER_URL, 'Where queue-listener is'),
    NATS_URL: natsUrl.default(usual.NATS_URL.split(',')),
    DATA_DIR: dataDir,
    EVENTS_MAX_AGE: eventsMaxAge,
    ...discoverySettings,
  }
}

export type DoctorSettings = Settings<ReturnType<typeof shapeAt>> & {
  /** Whether `npm start` would start the embedded mode here. */
  startsEmbedded: boolean
}

/** @throws SettingsError for an invalid value */
export function loadDoctorSettings(edgePort: number, env: NodeJS.ProcessEnv): DoctorSettings {
  const settings = loadSettings(shapeAt(edgePort), { argv: [], env })
  return { ...settings, startsEmbedded: !env.NATS_URL && natsServerVersion() === undefined }
}

/** @throws SettingsError for an unknown flag or an invalid value */
export function readArguments(args: string[]): { port: number; help: boolean } {
  const { port, help } = parse(args)
  if (!isEdgePort(Number(port))) throw new SettingsError(`--port is "${port}": ${WRONG_EDGE_PORT}`)
  return { port: Number(port), help }
}

function parse(args: string[]) {
  try {
    return parseArgs({
      args,
      options: {
        port: { type: 'string', default: String(SERVICES.play) },
        help: { type: 'boolean', short: 'h', default: false },
      },
    }).values
  } catch (error) {
    throw new SettingsError(`${(error as Error).message.split('. ')[0]}; --help lists the options`)
  }
}
