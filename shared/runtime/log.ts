import { type Logger, pino, stdSerializers } from 'pino'
import pretty from 'pino-pretty'

export type { Logger } from 'pino'

/** One JSON line per event on standard output; coloured text where that is a terminal. */
export function createLog({ name, level }: { name: string; level: string }): Logger {
  const options = { name, level, base: { name }, serializers: { err: stdSerializers.err } }
  return process.stdout.isTTY ? pino(options, pretty({ sync: true, ignore: 'pid,hostname' })) : pino(options)
}
