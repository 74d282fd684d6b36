import { readFile } from 'node:fs/promises'
import { request } from 'undici'
import { bearer } from '../../scripts/bearer.ts'
import { runCommand } from '../../scripts/command.ts'
import { services, urlsOf } from '../../services.ts'
import { writeSettings } from '../../shared/http/write-token.ts'
import { UsageError } from '../../shared/runtime/command-line.ts'
import { toReason } from '../../shared/runtime/reason.ts'
import { loadSettings } from '../../shared/runtime/settings.ts'

const name = 'seed'
const FILE = 'scripts/catalogue.jsonl'
/** As in scripts/seed.sh. */
const TIMEOUT_MS = 600_000

const usage = `Usage: seed [FILE]

Posts the assets of FILE (default: the demo catalogue) to cdnurl and metadata; existing assets are replaced. Like
npm run seed, but needs no shell.

  METADATA_URL         metadata's URL
  CDNURL_URL           cdnurl's URL
  WRITE_TOKEN[_FILE]   token that both services require for writes`

const shape = { ...writeSettings, METADATA_URL: urlsOf(services.metadata), CDNURL_URL: urlsOf(services.cdnurl) }

await runCommand({ name, usage, options: {}, takesArguments: true }, async (_, [file = FILE, ...more]) => {
  if (more.length > 0) throw new UsageError('expected at most one FILE')
  const { METADATA_URL, CDNURL_URL, WRITE_TOKEN } = loadSettings(shape, { args: [], env: process.env })
  const body = await readFile(file).catch((error) => {
    throw new UsageError(`cannot read the file "${file}" (${toReason(error)})`)
  })
  const headers = { 'content-type': 'application/x-ndjson', ...bearer(WRITE_TOKEN?.sent) }
  // cdnurl first, so that metadata never lists an asset that has no URL, even if a request fails.
  for (const url of [`${CDNURL_URL[0]}/url/assets`, `${METADATA_URL[0]}/content/assets`]) {
    try {
      const response = await request(url, { method: 'POST', headers, body, signal: AbortSignal.timeout(TIMEOUT_MS) })
      process.stdout.write(`${url}: ${response.statusCode} ${await response.body.text()}\n`)
      if (response.statusCode !== 200) return 1
    } catch (error) {
      process.stderr.write(`${name}: ${url} is not reachable (${toReason(error)})\n`)
      return 1
    }
  }
  return 0
})
