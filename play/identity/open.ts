import type { Secret } from '../../shared/runtime/secret.ts'
import type { Service } from '../../shared/service/service.ts'
import type { Identity } from './identity.ts'
import { type IdentitySettings, providerOf } from './settings.ts'

/** Starts identity as configured; returns undefined if it is off. Loads the JWT library only if identity is on. */
export async function openIdentity(
  service: Service,
  settings: IdentitySettings & { READ_TOKEN?: Secret | undefined },
): Promise<Identity | undefined> {
  const provider = providerOf(settings)
  if (!provider) return undefined
  const { startIdentity } = await import('./identity.ts')
  return startIdentity(service, provider, settings.READ_TOKEN)
}
