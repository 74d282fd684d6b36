import { type Logger, pino, stdSerializers } from 'pino'
import pretty from 'pino-pretty'

export type { Logger } from 'pino'

/** How a log line is shown to a person (options of pino-pretty). */
export const PRETTY = { ignore: 'pid,hostname', singleLine: true }

/** One JSON line per event on standard output; coloured text where that is a terminal. */
export function createLog({ name, level }: { name: string; level: string }): Logger {
  const options = { name, level, base: { pid: process.pid }, serializers: { err: stdSerializers.err } }
  return process.stdout.isTTY ? pino(options, pretty({ sync: true, ...PRETTY })) : pino(options)
}
