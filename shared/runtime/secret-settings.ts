import { readFileSync } from 'node:fs'
import { z } from 'zod'
import { UsageError } from './command-line.ts'
import { codeOf } from './error-code.ts'
import { metaOf } from './schema-meta.ts'
import { type Secret, toSecret } from './secret.ts'

/** The part of a setting that must never be printed: its whole value, or the credentials in its URLs. */
type Secrecy = 'value' | 'credentials'

/** A secret setting's metadata, for `.meta()`. */
export function secretMeta(description: string, secrecy: Secrecy = 'value') {
  return { description, secrecy }
}

/** A setting whose whole value is secret; undefined if it is unset. */
export function optionalSecret(description: string, isValid = (_: string) => true, error = '') {
  return z
    .string()
    .refine(isValid, { error })
    .transform((text): Secret => toSecret(text))
    .optional()
    .meta(secretMeta(description))
}

/**
 * Reads a setting's environment variable. A secret may instead be in the file that `<NAME>_FILE` names.
 * @returns undefined if the setting is unset or empty
 * @throws UsageError if the variable and `<NAME>_FILE` are both set, or if the file is empty or cannot be read
 */
export function readVariable(name: string, schema: z.ZodType, env: NodeJS.ProcessEnv): string | undefined {
  const file = secrecyOf(schema) && env[`${name}_FILE`]
  if (!file) return env[name] || undefined
  if (env[name]) throw new UsageError(`${name} and ${name}_FILE are both set: set only one of them`)
  const text = readSecretFile(name, file).replace(/[\r\n]+$/, '')
  // An empty secret would be treated as unset, which may leave open whatever it protects.
  if (text === '') throw new UsageError(`the file in ${name}_FILE is empty`)
  return text
}

/** The error omits the path, which is the secret itself if someone mixed up the two variables. */
function readSecretFile(name: string, file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    throw new UsageError(`the file in ${name}_FILE cannot be read (${codeOf(error) ?? 'invalid path'})`)
  }
}

export function secrecyOf(schema: z.ZodType | undefined): Secrecy | undefined {
  const secrecy = schema && metaOf(schema).secrecy
  return secrecy === 'value' || secrecy === 'credentials' ? secrecy : undefined
}

/**
 * Quotes the value, and hides credentials in URLs, even if the password contains an unescaped `/`, `@` or `,`. Hides
 * the whole text if it mentions a password, or if it is a secret that is not a URL.
 */
export function redact(text: string, secrecy: Secrecy | undefined): string {
  if (secrecy === 'value' || /passw/i.test(text)) return '"…"'
  const withoutUser = text.replace(/^(\w+:\/\/)?.*@/s, '$1…@')
  if (!secrecy) return JSON.stringify(withoutUser)
  if (!/^\w+:\/\//.test(text)) return '"…"'
  // If the host is missing, the password is where a port is expected, so hide anything there that is not a port.
  return JSON.stringify(withoutUser.replace(/(:(?!\/\/|\d{1,5}(?:[,/\s]|$))|[?\s]).*/s, (rest) => `${rest[0]}…`))
}
