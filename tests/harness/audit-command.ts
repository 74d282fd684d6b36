import { resolve } from 'node:path'
import { startChild } from './child.ts'

/** Runs the `npm run audit` script with only these settings. */
export async function runAudit(env: Record<string, string>, ...args: string[]) {
  const script = resolve('scripts/audit/main.ts')
  await using child = startChild(process.execPath, [script, ...args], {
    env: { REPORTING_URL: '', NATS_URL: '', ...env },
  })
  return { status: await child.ended, text: child.lines.join('\n') }
}
