import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { expect } from 'vitest'

/** Checks an OpenAPI or AsyncAPI document against all rules that Redocly recommends. Warnings are findings too. */
export async function expectNoLintFindings(file: string): Promise<void> {
  const env = { ...process.env, REDOCLY_TELEMETRY: 'off', REDOCLY_SUPPRESS_UPDATE_NOTICE: 'true' }
  const args = ['lint', '--extends=recommended-strict', '--format=stylish', file]
  const findings = await promisify(execFile)('node_modules/.bin/redocly', args, { env }).then(
    () => '',
    ({ stdout, stderr }) => stdout + stderr,
  )
  expect(findings).toBe('')
}
