import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { z } from 'zod'
import { pinnedNode } from '../shared/runtime/version.ts'
import { runCommand } from './command.ts'

const usage = `Usage: npm run --silent sbom

Prints a software bill of materials in CycloneDX, from package-lock.json: the production dependencies, and Node, which
the image contains.`

const Lock = z.object({
  name: z.string(),
  packages: z.record(z.string(), z.object({ version: z.string(), dev: z.boolean().optional() })),
})
const Bom = z.looseObject({
  metadata: z.looseObject({ component: z.looseObject({ name: z.string() }) }),
  components: z.array(z.looseObject({ 'bom-ref': z.string(), name: z.string(), version: z.string() })),
  dependencies: z.array(z.looseObject({ ref: z.string(), dependsOn: z.array(z.string()).default([]) })),
})
const COMMAND = ['sbom', '--package-lock-only', '--sbom-format', 'cyclonedx', '--sbom-type', 'application']

await runCommand({ name: 'npm run sbom', usage, options: {} }, async () => {
  const lock = Lock.parse(JSON.parse(readFileSync('package-lock.json', 'utf8')))
  const output = execFileSync('npm', COMMAND, {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
    maxBuffer: 2 ** 26,
  })
  process.stdout.write(`${JSON.stringify(toProduction(Bom.parse(JSON.parse(output)), lock), undefined, 2)}\n`)
})

/** Keeps packages that production and development dependencies share, unlike `npm sbom --omit dev`. */
function toProduction(bom: z.infer<typeof Bom>, { name, packages }: z.infer<typeof Lock>) {
  const production = Object.entries(packages).filter(([path, { dev }]) => path !== '' && !dev)
  const kept = new Set([
    ...production.map(([path, { version }]) => `${path.replace(/^.*node_modules\//, '')}@${version}`),
    `node@${pinnedNode}`,
  ])
  const components = bom.components.filter(({ name, version }) => kept.has(`${name}@${version}`))
  const refs = new Set(components.map((component) => component['bom-ref']))
  const [root, ...others] = bom.dependencies
  const only = (references: string[]) => references.filter((reference) => refs.has(reference))
  return {
    ...bom,
    // npm would use the directory name instead of the package name.
    metadata: { ...bom.metadata, component: { ...bom.metadata.component, name } },
    components,
    dependencies: [root, ...others.filter(({ ref }) => refs.has(ref))].map(
      (each) => each && { ...each, dependsOn: only(each.dependsOn) },
    ),
  }
}
