import type { Discovery } from './discovery.ts'

/** Discovery without a registry: uses the instances in the settings. */
export function createStaticDiscovery(): Discovery {
  return {
    instancesOf: (_, configured) => () => configured,
    register: () => ({ async [Symbol.asyncDispose]() {} }),
    async [Symbol.asyncDispose]() {},
  }
}
