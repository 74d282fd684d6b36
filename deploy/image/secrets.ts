import { randomBytes } from 'node:crypto'
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { toNginxKeys } from '../../cdn/nginx-config.ts'
import { runCommand } from '../../scripts/command.ts'
import { UsageError } from '../../shared/runtime/command-line.ts'
import { toSecret } from '../../shared/runtime/secret.ts'
import { toSigningKeys } from '../../shared/runtime/signing-keys.ts'

const usage = `Usage: secrets --database URL DIRECTORY

Creates the missing secrets for compose.yaml in DIRECTORY. They are in separate subdirectories, so that a container can
mount only what it needs:

  read/token          READ_TOKEN
  write/token         WRITE_TOKEN
  cdn/keys            CDN_KEYS
  cdn/nginx.json      the same keys in the format that nginx reads
  database/password   the password of the user in URL
  database/url        DATABASE_URL: URL with the password`

const options = { database: { type: 'string' } } as const

await runCommand(
  { name: 'secrets', usage, options, takesArguments: true },
  async ({ database }, [directory, ...more]) => {
    if (directory === undefined || more.length > 0) throw new UsageError('expected one DIRECTORY')
    if (database === undefined || !URL.canParse(database)) throw new UsageError('--database must be a URL')
    create(join(directory, 'read'), 'token')
    create(join(directory, 'write'), 'token')
    const keys = create(join(directory, 'cdn'), 'keys', () => `k1:${randomSecret()}`)
    write(join(directory, 'cdn', 'nginx.json'), toNginxKeys(toSigningKeys(toSecret(keys))))
    const url = new URL(database)
    url.password = create(join(directory, 'database'), 'password')
    write(join(directory, 'database', 'url'), url.href)
  },
)

/** Returns the secret in a file. Creates the file if it is missing. */
function create(directory: string, name: string, generate: () => string = randomSecret): string {
  const path = join(directory, name)
  mkdirSync(directory, { recursive: true })
  if (!existsSync(path)) write(path, generate())
  return readFileSync(path, 'utf8')
}

function randomSecret(): string {
  return randomBytes(32).toString('hex')
}

/** Makes the file readable by every user, because the containers that mount a secret run as different users. */
function write(path: string, text: string): void {
  writeFileSync(path, text)
  chmodSync(path, 0o444)
}
