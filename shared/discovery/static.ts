import type { Discovery } from './discovery.ts'

/** Discovery without a registry: the instances are those in the settings. */
export function createStaticDiscovery(): Discovery {
  return {
    instancesOf: (_, configured) => () => configured,
    register: () => ({ async [Symbol.asyncDispose]() {} }),
    async [Symbol.asyncDispose]() {},
  }
}
