import { UsageError } from '../../shared/runtime/command-line.ts'
import { runCommand } from '../command.ts'
import { addService } from './add-service.ts'
import { PlaceError } from './edit.ts'
import { createNewService } from './new-service.ts'
import { assertName, assertUnused, freePort, toPort } from './project.ts'

const name = 'npm run new-service'

const usage = `Usage: npm run new-service -- NAME [--catalogue | --empty] [--port N]

Creates a service with its tests, settings and API document, and adds it to services.ts, the Procfile, embedded mode,
compose.yaml, the manifests, Prometheus, the Consul policy and the README. See docs/adding-a-service.md.

  NAME         name of the service, such as ratings or video-tags
  --catalogue  stores one kind of data per asset, as metadata and cdnurl do (default)
  --empty      has only the routes that all services have
  --port N     its default port (default: the next free one, ${freePort()})`

const flag = { type: 'boolean', default: false } as const
const options = { catalogue: flag, empty: flag, port: { type: 'string' } } as const
const command = { name, usage, options, takesArguments: true, createsSources: true }

await runCommand(command, async ({ catalogue, empty, port }, given) => {
  const [wanted, ...rest] = given
  if (wanted === undefined || rest.length > 0) throw new UsageError('expected one NAME; --help shows the usage')
  if (catalogue && empty) throw new UsageError('--catalogue and --empty cannot be combined')
  assertName(wanted)
  const service = createNewService({
    kind: empty ? 'empty' : 'catalogue',
    name: wanted,
    port: port === undefined ? freePort() : toPort(port),
  })
  assertUnused(service)
  try {
    const { created, changed } = addService(service)
    print([
      `Created ${created.join(', ')}`,
      `Changed ${changed.join(', ')}`,
      `Next: npm run check, npm test -- ${wanted}/, and docs/adding-a-service.md`,
    ])
    return 0
  } catch (error) {
    if (!(error instanceof PlaceError)) throw error
    process.stderr.write(`${name}: ${error.message}. Nothing was changed.\n`)
    return 1
  }
})

function print(lines: readonly string[]): void {
  process.stdout.write(lines.map((line) => `${line}\n`).join(''))
}
