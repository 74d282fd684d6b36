import { resolve } from 'node:path'
import { startChild } from './child.ts'

/** Runs the `npm run counts` script with only these settings. */
export async function runCounts(env: Record<string, string>, ...args: string[]) {
  const unset = { REPORTING_URL: '', NATS_URL: '', WRITE_TOKEN: '', DATA_DIR: '', DATABASE_URL: '' }
  const script = resolve('scripts/counts/main.ts')
  await using child = startChild(process.execPath, [script, ...args], { env: { ...unset, ...env } })
  return { status: await child.ended, text: child.lines.join('\n') }
}
