import { resolve } from 'node:path'
import { type NginxOptions, toNginxConfig, toNginxKeys } from '../../cdn/nginx-config.ts'
import { UsageError } from '../../shared/runtime/command-line.ts'
import { loadSettings } from '../../shared/runtime/settings.ts'
import { signingKeys, toSigningKeys } from '../../shared/runtime/signing-keys.ts'
import { runCommand } from '../command.ts'
import { nextKeys, toText } from './rotate.ts'

const name = 'npm run cdn'

const usage = `Usage: npm run --silent cdn -- COMMAND

Prepares the keys for signed URLs, and nginx as an edge that verifies the URLs. Only prints its results, and changes
nothing.

  rotate       prints the next CDN_KEYS: a new key for signing, followed by the current signing key
  nginx-keys   prints CDN_KEYS in the format that nginx reads
  nginx        prints the nginx configuration

  --listen A   address for nginx (default: 127.0.0.1:8085)
  --root DIR   directory with the media (default: deploy/cdn/media)
  --keys FILE  output of nginx-keys (default: cdn-keys.json)
  --state DIR  directory for nginx's log and temporary files (default: .)
  --user NAME  the user that nginx runs as, if root starts it (default: www-data)

  CDN_KEYS     current keys, kid:secret, separated by commas; or CDN_KEYS_FILE, the path of a file with them

Settings are also read from .env; the environment overrides them. docs/playback.md describes key rotation.`

const options = {
  listen: { type: 'string', default: '127.0.0.1:8085' },
  root: { type: 'string', default: 'deploy/cdn/media' },
  keys: { type: 'string', default: 'cdn-keys.json' },
  state: { type: 'string', default: '.' },
  user: { type: 'string', default: 'www-data' },
} as const

await runCommand({ name, usage, options, dotEnv: true, takesArguments: true }, async (flags, [command, ...rest]) => {
  if (rest.length > 0) throw new UsageError(`unexpected argument ${JSON.stringify(rest[0])}; --help shows the usage`)
  process.stdout.write(toOutput(command, flags))
})

/** @throws UsageError */
function toOutput(command: string | undefined, flags: NginxOptions): string {
  switch (command) {
    case 'rotate':
      return `${toText(nextKeys(currentKeys()))}\n`
    case 'nginx-keys': {
      const keys = currentKeys()
      if (keys.length === 0) throw new UsageError('CDN_KEYS is not set')
      return toNginxKeys(keys)
    }
    case 'nginx':
      return toNginxConfig({
        ...flags,
        root: resolve(flags.root),
        keys: resolve(flags.keys),
        state: resolve(flags.state),
      })
    default:
      throw new UsageError('expected rotate, nginx-keys or nginx; --help describes them')
  }
}

function currentKeys() {
  const { CDN_KEYS } = loadSettings({ CDN_KEYS: signingKeys }, { args: [], env: process.env })
  return CDN_KEYS ? toSigningKeys(CDN_KEYS) : []
}
