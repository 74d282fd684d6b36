import { type Logger, pino, stdSerializers } from 'pino'

// Loaded only if used, because it takes a tenth of the time that a service needs to start.
const pretty = process.stdout.isTTY ? (await import('pino-pretty')).default : undefined

export type { Logger } from 'pino'

/** Options for pino-pretty. */
export const PRETTY = { ignore: 'pid,hostname', singleLine: true }

/** Logs to standard output: one JSON object per line, or coloured text on a terminal. */
export function createLog({ name, level }: { name: string; level: string }): Logger {
  const options = { name, level, base: { pid: process.pid }, serializers: { err: stdSerializers.err } }
  return pretty ? pino(options, pretty({ sync: true, ...PRETTY })) : pino(options)
}
