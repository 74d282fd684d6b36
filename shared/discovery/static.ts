import type { Discovery } from './discovery.ts'

/** Services are where the settings say. */
export function createStaticDiscovery(): Discovery {
  return {
    instancesOf: (_, configured) => () => configured,
    register: () => ({ async [Symbol.asyncDispose]() {} }),
    async [Symbol.asyncDispose]() {},
  }
}
