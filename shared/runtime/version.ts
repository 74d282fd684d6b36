import { readFileSync } from 'node:fs'

const manifest = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'))

/** The version in package.json. */
export const version: string = manifest.version

/** The Node version that the project is tested with. */
export const pinnedNode: string = manifest.devDependencies.node
