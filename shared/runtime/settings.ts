import { basename, dirname } from 'node:path'
import { parseArgs } from 'node:util'
import { z } from 'zod'

/** A setting has an invalid value or a flag is unknown. The message is one line that names it. */
export class SettingsError extends Error {
  override name = 'SettingsError'
}

/** The settings of a service, keyed by the name of their environment variable. */
export type SettingsShape = Record<string, z.ZodType>

export type Settings<Shape extends SettingsShape> = z.output<z.ZodObject<Shape>>

/** Where settings come from: a flag beats the environment, which beats the default. */
export type SettingsSource = { argv: string[]; env: Record<string, string | undefined> }

const flags = { port: 'PORT', host: 'HOST' } as const

/**
 * Reads the settings that `shape` names.
 * @throws SettingsError for an unknown flag or an invalid value
 */
export function loadSettings<Shape extends SettingsShape>(
  shape: Shape,
  { argv, env }: SettingsSource,
): Settings<Shape> {
  const flags = readFlags(argv)
  const set = Object.fromEntries(Object.keys(shape).map((name) => [name, flags[name] || env[name] || undefined]))
  const parsed = z.object(shape).safeParse(set)
  if (parsed.success) return parsed.data
  const [issue] = parsed.error.issues
  const name = String(issue?.path[0])
  throw new SettingsError(
    `${name} ${set[name] === undefined ? 'is not set: it' : `is ${quote(set[name])}: it`} ${issue?.message}`,
  )
}

/** What `--help` prints: every setting of `shape`, with its default and its description. */
export function describeSettings(script: string, shape: SettingsShape): string {
  const program = `node ${basename(dirname(script))}/${basename(script)}`
  const rows = Object.entries(shape).map(([name, schema]) => {
    const fallback = defaultOf(schema)
    return [withFlag(name), descriptionOf(schema), fallback ?? 'none'] as const
  })
  const width = Math.max(...rows.map(([name]) => name.length))
  return [
    `Usage: ${program} [--port N] [--host ADDR] [--help]`,
    '',
    'A flag beats the environment variable, which beats the default.',
    '',
    ...rows.map(([name, text, fallback]) => `  ${name.padEnd(width)}  ${text} (default: ${fallback})`),
  ].join('\n')
}

export function wantsHelp({ argv }: SettingsSource): boolean {
  return argv.includes('--help') || argv.includes('-h')
}

export function port(fallback: number) {
  const error = 'must be a port, 0 to 65535'
  return z
    .string()
    .regex(/^\d{1,5}$/, { error })
    .default(String(fallback))
    .transform(Number)
    .refine((value) => value <= 65_535, { error })
    .meta({ description: 'Port to listen on; 0 takes a free one' })
}

export const host = z.string().default('127.0.0.1').meta({ description: 'Address to listen on' })

export const logLevel = z
  .enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'], {
    error: 'must be one of trace, debug, info, warn, error, fatal, silent',
  })
  .default('info')
  .meta({ description: 'Least level that is logged' })

const units: Record<string, number> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }

const durationText = z
  .string()
  .regex(/^\d+(\.\d+)?(ms|s|m|h|d)$/, { error: 'must be a duration such as 500ms, 5s or 2m' })

/** A duration such as `500ms`, `5s` or `2m`, read as milliseconds. */
export function duration(fallback: string, description: string) {
  return durationText.default(fallback).transform(toMilliseconds).meta({ description })
}

/** How long the log keeps a view; it bounds what a reporting that was restarted can count again. */
export const eventsMaxAge = durationText
  .transform(toMilliseconds)
  .optional()
  .meta({ description: 'How long the log keeps a view, such as 90d; none keeps all' })

function toMilliseconds(text: string): number {
  return Number.parseFloat(text) * (units[text.replace(/[\d.]+/, '')] ?? 1)
}

const originList = z
  .string()
  .transform((text) => text.split(',').map((part) => part.trim()))
  .refine((urls) => urls.every(isOrigin), {
    error: 'must be http(s) URLs without a path, separated by commas, such as http://127.0.0.1:8081',
  })
  .transform((urls) => urls.map((url) => new URL(url).origin))

/** Comma-separated http(s) URLs without a path, read as a list of origins. */
export function origins(fallback: string, description: string) {
  return z.string().default(fallback).pipe(originList).meta({ description })
}

export const corsOrigins = originList
  .optional()
  .meta({ description: 'Origins whose pages may read what play answers, separated by commas' })

const NATS_FORM = 'must be NATS servers, separated by commas, such as nats://127.0.0.1:4222'

/** Comma-separated NATS servers. A user and password, or a token, may stand before the host, as in URLs. */
export const natsUrl = z
  .string({ error: NATS_FORM })
  .transform((text) => text.split(',').map((part) => part.trim()))
  .refine(
    (urls) => urls.every((url) => /^((nats|tls):\/\/)?([^\s/@]+@)?(\[[\da-f:]+\]|[^\s/:@[\]]+)(:\d+)?$/i.test(url)),
    {
      error: NATS_FORM,
    },
  )
  .meta({ description: 'NATS servers, separated by commas' })

export const dataDir = z.string().default('./data').meta({ description: 'Where data is kept on disk' })

export const catalogueTtl = duration('5s', 'How long what was read of an asset is used')

function readFlags(argv: string[]): Record<string, string> {
  try {
    const { values } = parseArgs({ args: argv, options: { port: { type: 'string' }, host: { type: 'string' } } })
    return Object.fromEntries(Object.entries(values).map(([flag, value]) => [flags[flag as keyof typeof flags], value]))
  } catch (error) {
    const [sentence] = (error as Error).message.split(/\.\s/)
    throw new SettingsError(`${sentence}; --help lists the settings`)
  }
}

function withFlag(name: string): string {
  const flag = Object.entries(flags).find(([, variable]) => variable === name)?.[0]
  return flag ? `--${flag}, ${name}` : name
}

function defaultOf(schema: z.ZodType): string | undefined {
  const fallback = schema.safeParse(undefined)
  if (!fallback.success || fallback.data === undefined) return undefined
  return z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }).default?.toString()
}

/** `optional()` leaves a description that was given before it with the schema that it wraps. */
function descriptionOf(schema: z.ZodType): string {
  const wrapped = schema instanceof z.ZodOptional ? (schema.unwrap() as z.ZodType) : undefined
  return schema.meta()?.description ?? wrapped?.meta()?.description ?? ''
}

/** In quotes, and without a password that it may hold. */
function quote(text: string): string {
  return JSON.stringify(text.replaceAll(/[^\s/,@]+@/g, '…@'))
}

function isOrigin(text: string): boolean {
  if (!/^https?:\/\//i.test(text) || !URL.canParse(text)) return false
  const { pathname, search, hash, username } = new URL(text)
  return pathname === '/' && !search && !hash && !username
}
