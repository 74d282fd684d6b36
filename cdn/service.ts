import { z } from 'zod'
import { UsageError } from '../shared/runtime/command-line.ts'
import type { Logger } from '../shared/runtime/log.ts'
import { type SigningKey, signingKeys, toSigningKeys } from '../shared/runtime/signing-keys.ts'
import { type Listening, listen } from '../shared/service/listen.ts'
import type { ServiceSettings } from '../shared/service/run-service.ts'
import type { Service } from '../shared/service/service.ts'
import { createApp } from './app.ts'
import { toSecrets } from './nginx-config.ts'

type EdgeOptions = { host: string; port: number; keys: readonly SigningKey[]; root: string; log: Logger }

/**
 * Serves the files in the directory `root` under signed URLs.
 * @throws ListenError
 */
export function startCdn({ host, port, keys, root, log }: EdgeOptions): Promise<Listening> {
  return listen(createApp({ keys: toSecrets(keys), root, log }), { host, port, log })
}

const shape = {
  CDN_KEYS: signingKeys,
  CDN_ROOT: z.string().default('deploy/cdn/media').meta({ description: 'Directory with the media' }),
}

/** A stand-in for a CDN on machines without nginx. */
export const cdn = {
  name: 'cdn',
  port: 8085,
  settings: shape,
  async start({ log, resources }: Service, settings: ServiceSettings<typeof shape>) {
    const { HOST: host, PORT: port, CDN_ROOT: root, CDN_KEYS } = settings
    if (!CDN_KEYS) throw new UsageError('CDN_KEYS is not set: the edge needs the same keys as play')
    return resources.use(await startCdn({ host, port, keys: toSigningKeys(CDN_KEYS), root, log }))
  },
}
