import type { Discovery, Instances } from './discovery.ts'

/** Instances that stay what they are. */
export function fixed(origins: readonly string[]): Instances {
  return () => origins
}

/** Services are where the settings say. */
export function createStaticDiscovery(): Discovery {
  return {
    instancesOf: (_, configured) => fixed(configured),
    register: () => ({ async [Symbol.asyncDispose]() {} }),
    async [Symbol.asyncDispose]() {},
  }
}
