import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { expect } from 'vitest'

/** Holds an OpenAPI or AsyncAPI document to all rules that Redocly recommends, those that only warn among them. */
export async function expectLintFindsNothing(file: string): Promise<void> {
  const env = { ...process.env, REDOCLY_TELEMETRY: 'off', REDOCLY_SUPPRESS_UPDATE_NOTICE: 'true' }
  const args = ['lint', '--extends=recommended-strict', '--format=stylish', file]
  const found = await promisify(execFile)('node_modules/.bin/redocly', args, { env }).then(
    () => '',
    ({ stdout, stderr }) => stdout + stderr,
  )
  expect(found).toBe('')
}
