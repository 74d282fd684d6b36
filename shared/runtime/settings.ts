import { accessSync, constants } from 'node:fs'
import { basename, dirname } from 'node:path'
import { z } from 'zod'
import { parseCommandLine, UsageError } from './command-line.ts'
import { metaOf } from './schema-meta.ts'
import { readVariable, redact, secrecyOf } from './secret-settings.ts'

/** A service's settings, keyed by environment variable. */
export type SettingsShape = Record<string, z.ZodType>

export type Settings<Shape extends SettingsShape> = z.output<z.ZodObject<Shape>>

/** Flags take precedence over environment variables, which take precedence over defaults. */
type SettingsSource = { args: string[]; env: NodeJS.ProcessEnv }

/** Every service's flags, and the environment variables that they override. */
const FLAGS: Record<string, string> = { port: 'PORT', host: 'HOST' }

/**
 * Reads the settings in `shape`. An empty value is treated as unset. A secret setting may instead be in the file that
 * `<NAME>_FILE` names.
 * @throws UsageError for an unknown flag or an invalid value
 */
export function loadSettings<Shape extends SettingsShape>(
  shape: Shape,
  { args, env }: SettingsSource,
): Settings<Shape> {
  const flags = readFlags(args)
  const given: Record<string, string | undefined> = Object.fromEntries(
    Object.entries(shape).map(([name, schema]) => [name, flags[name] || readVariable(name, schema, env)]),
  )
  const parsed = z.object(shape).safeParse(given)
  if (parsed.success) return parsed.data
  const [issue] = parsed.error.issues
  const name = String(issue?.path[0])
  const secrecy = env[name] || flags[name] ? secrecyOf(shape[name]) : 'value'
  const value = given[name] === undefined ? 'is not set' : `is ${redact(given[name], secrecy)}`
  throw new UsageError(`${name} ${value}: it ${issue?.message}`)
}

function readFlags(args: string[]): Record<string, string> {
  const options = Object.fromEntries(Object.keys(FLAGS).map((flag) => [flag, { type: 'string' as const }]))
  const values = parseCommandLine(args, options)
  return Object.fromEntries(Object.entries(values).map(([flag, value]) => [FLAGS[flag], value]))
}

/** The output of `--help`: each setting of `shape` with its description and default. */
export function describeSettings(script: string, shape: SettingsShape): string {
  const program = `node ${basename(dirname(script))}/${basename(script)}`
  const rows = Object.entries(shape).map(([name, schema]) => {
    return [toName(name, schema), metaOf(schema).description ?? '', defaultOf(schema) ?? 'none'] as const
  })
  const width = Math.max(...rows.map(([name]) => name.length))
  return [
    `Usage: ${program} [--port N] [--host ADDR] [--help] [--version]`,
    '',
    'Flags take precedence over environment variables, which take precedence over defaults.',
    '',
    ...rows.map(([name, text, fallback]) => `  ${name.padEnd(width)}  ${text} (default: ${fallback})`),
  ].join('\n')
}

/**
 * A setting as `--help` lists it: its flag, if it has one, and its variable. `[_FILE]` marks a secret that may be in a
 * file.
 */
function toName(name: string, schema: z.ZodType): string {
  const flag = Object.keys(FLAGS).find((flag) => FLAGS[flag] === name)
  if (flag) return `--${flag}, ${name}`
  return secrecyOf(schema) ? `${name}[_FILE]` : name
}

function defaultOf(schema: z.ZodType): string | undefined {
  if (schema.safeParse(undefined).data === undefined) return undefined
  return z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }).default?.toString()
}

/** The path to a readable file, or undefined if the setting is unset. */
export function optionalFile(description: string) {
  return z.string().refine(isReadable, { error: 'must be a readable file' }).optional().meta({ description })
}

function isReadable(path: string): boolean {
  try {
    accessSync(path, constants.R_OK)
    return true
  } catch {
    return false
  }
}

const PORT_FORM = 'must be a port, 0 to 65535'
const portText = z
  .string()
  .regex(/^\d{1,5}$/, { error: PORT_FORM })
  .refine((text) => Number(text) <= 65_535, { error: PORT_FORM })

export function port(fallback: number) {
  const description = 'Port to listen on; 0 picks a free one'
  return portText.default(String(fallback)).transform(Number).meta({ description })
}

/** A port, or undefined if the setting is unset. */
export function optionalPort(description: string) {
  return portText.transform(Number).optional().meta({ description })
}

export const host = z.string().default('127.0.0.1').meta({ description: 'Address to listen on' })

function countUpTo(max: number, min = 1) {
  const error = `must be a number, ${min} to ${max}`
  return z
    .string()
    .regex(/^\d{1,15}$/, { error })
    .refine((text) => Number(text) >= min && Number(text) <= max, { error })
}

/** An integer from `min` to `max`. */
export function count(fallback: number, description: string, max: number, min?: number) {
  return countUpTo(max, min).default(String(fallback)).transform(Number).meta({ description })
}

/** A positive integer up to `max`, or undefined if the setting is unset. */
export function optionalCount(description: string, max: number) {
  return countUpTo(max).transform(Number).optional().meta({ description })
}

export const clientConnections = countUpTo(1_000_000).transform(Number).optional().meta({
  description:
    "Maximum number of connections per client address, except from loopback and from TRUSTED_PROXIES; behind a proxy that is not trusted, all clients share the proxy's address",
})

const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const

export const logLevel = z
  .enum(LOG_LEVELS, { error: `must be one of ${LOG_LEVELS.join(', ')}` })
  .default('info')
  .meta({ description: 'Minimum log level' })

const UNITS: Record<string, number> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }

const durationText = z
  .string()
  .regex(/^\d+(\.\d+)?(ms|s|m|h|d)$/, { error: 'must be a duration such as 500ms, 5s or 2m' })

/** A duration such as `500ms`, `5s` or `90d`, parsed to milliseconds. */
export function duration(fallback: string, description: string) {
  return durationText.default(fallback).transform(toMilliseconds).meta({ description })
}

/** A duration in milliseconds, or undefined if the setting is unset. */
export function optionalDuration(description: string) {
  return durationText.transform(toMilliseconds).optional().meta({ description })
}

/** @param text a valid duration */
export function toMilliseconds(text: string): number {
  return Number.parseFloat(text) * (UNITS[text.replace(/[\d.]+/, '')] ?? 1)
}

/** A setting that is `1` or `0`, parsed to a boolean; undefined if it is unset. */
export function optionalFlag(description: string) {
  return z
    .enum(['0', '1'], { error: 'must be 1 or 0' })
    .transform((text) => text === '1')
    .optional()
    .meta({ description })
}

const originList = z
  .string()
  .transform((text) => text.split(',').map((part) => part.trim()))
  .refine((urls) => urls.every(isOrigin), {
    error: 'must be http(s) URLs without a path, separated by commas, such as http://127.0.0.1:8081',
  })
  .transform((urls) => urls.map((url) => new URL(url).origin))

/** Comma-separated http(s) URLs without a path, parsed to a list of origins. */
export function origins(fallback: string, description: string) {
  return z.string().default(fallback).pipe(originList).meta({ description })
}

/** A list of origins, or undefined if the setting is unset. */
export function optionalOrigins(description: string) {
  return originList.optional().meta({ description })
}

function isOrigin(text: string): boolean {
  if (!/^https?:\/\//i.test(text) || !URL.canParse(text)) return false
  const { pathname, search, hash, username } = new URL(text)
  return pathname === '/' && !search && !hash && !username
}

export const dataDir = z.string().default('./data').meta({ description: 'Directory for data on disk' })
