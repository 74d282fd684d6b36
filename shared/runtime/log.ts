import { createRequire } from 'node:module'
import { type Logger, pino, stdSerializers } from 'pino'
import type Pretty from 'pino-pretty'

export type { Logger } from 'pino'

/** Options for pino-pretty. */
export const PRETTY = { ignore: 'pid,hostname', singleLine: true }

/** Logs to standard output: one JSON object per line, or coloured text on a terminal. */
export function createLog({ name, level }: { name: string; level: string }): Logger {
  const options = { name, level, base: { pid: process.pid }, serializers: { err: stdSerializers.err } }
  if (!process.stdout.isTTY) return pino(options)
  // Load pino-pretty only if it is used: loading it takes a tenth of a service's startup time.
  const pretty: typeof Pretty = createRequire(import.meta.url)('pino-pretty')
  return pino(options, pretty({ sync: true, ...PRETTY }))
}
