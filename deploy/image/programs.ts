import { serviceEntries } from '../../services.ts'

const COMMANDS = ['doctor', 'counts', 'dead-letters', 'why', 'audit']

/** The entry points of the programs in the image, by program name, relative to the project root. */
export const programs: ReadonlyMap<string, string> = new Map([
  ...[...serviceEntries.map(({ name }) => name), 'embedded'].map((name) => [name, `${name}/main.ts`] as const),
  ...COMMANDS.map((name) => [name, `scripts/${name}/main.ts`] as const),
  ['cdn', 'cdn/main.ts'],
  ['seed', 'deploy/image/seed.ts'],
  ['secrets', 'deploy/image/secrets.ts'],
])
