import { type ServiceName, serviceEntries } from '../../services.ts'

export const serviceNames = serviceEntries.map(({ name }) => name)

/** The services that serve and count a play. A generated service is not listed, because play may not call it. */
export const inAPlay: readonly ServiceName[] = ['play', 'metadata', 'cdnurl', 'reporting', 'queue-listener']

/**
 * Returns the results of `toValue` for each service, keyed by name. If a call fails, rejects after all calls have
 * settled, so that the caller can stop what the other calls started.
 */
export async function mapServices<Value>(
  toValue: (name: ServiceName) => Value | Promise<Value>,
): Promise<Record<ServiceName, Value>> {
  const entries = serviceNames.map(async (name) => [name, await toValue(name)] as const)
  await Promise.allSettled(entries)
  return Object.fromEntries(await Promise.all(entries)) as Record<ServiceName, Value>
}
