import { type ParseArgsOptionsConfig, parseArgs } from 'node:util'
import { version } from './version.ts'

/**
 * Invalid usage: an unknown flag, or a setting with an invalid value. The message is one line that names the flag or
 * setting.
 */
export class UsageError extends Error {
  override name = 'UsageError'
}

/** The exit status after a UsageError, which a retry with the same settings cannot fix. */
export const USAGE_STATUS = 2

/** The output of `--help` or `--version`, or undefined if neither is given. */
export function toInformation(args: readonly string[], usage: () => string): string | undefined {
  if (args.includes('--help') || args.includes('-h')) return `${usage()}\n`
  return args.includes('--version') ? `${version}\n` : undefined
}

/**
 * Parses flags with `util.parseArgs`.
 * @throws UsageError
 */
export function parseCommandLine<Options extends ParseArgsOptionsConfig>(args: string[], options: Options) {
  return parseArguments(args, options, false).values
}

/** Like parseCommandLine, but also returns positional arguments if they are allowed. */
export function parseArguments<Options extends ParseArgsOptionsConfig>(
  args: string[],
  options: Options,
  allowPositionals: boolean,
) {
  try {
    return parseArgs({ args, options, allowNegative: true, allowPositionals })
  } catch (error) {
    const [sentence] = String(error instanceof Error ? error.message : error).split(/\.\s/)
    throw new UsageError(`${sentence}; --help lists the options`)
  }
}
