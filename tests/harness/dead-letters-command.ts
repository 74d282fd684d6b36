import { resolve } from 'node:path'
import { startChild } from './child.ts'

/** Runs the `npm run dead-letters` script with only these settings. */
export async function runDeadLetters(env: Record<string, string>, ...args: string[]) {
  const script = resolve('scripts/dead-letters/main.ts')
  const unset = { QUEUE_LISTENER_URL: '', WRITE_TOKEN: '', COLUMNS: '' }
  await using child = startChild(process.execPath, [script, ...args], { env: { ...unset, ...env } })
  return { status: await child.ended, lines: child.lines, text: child.lines.join('\n') }
}
