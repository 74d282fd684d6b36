import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { KeyPair } from './certificates.ts'
import { type NatsServer, startNatsServer } from './nats-server.ts'
import { withResources } from './resources.ts'
import { createTempDirectory } from './temp-directory.ts'

/** Starts a NATS server with these lines in its configuration file. */
export async function startConfiguredNats(...lines: string[]): Promise<NatsServer> {
  await using stack = new AsyncDisposableStack()
  const directory = stack.use(await createTempDirectory('nats-config'))
  const config = join(directory.path, 'nats.conf')
  await writeFile(config, lines.join('\n'))
  const nats = stack.use(await startNatsServer({ config }))
  return withResources(nats, stack)
}

/** The configuration line that makes a server require TLS. */
export function tlsWith({ cert, key }: KeyPair): string {
  return `tls { cert_file: "${cert}", key_file: "${key}" }`
}
