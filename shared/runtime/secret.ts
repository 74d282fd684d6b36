import { inspect } from 'node:util'

/** A value that only `reveal` returns: logs, errors, JSON and `util.inspect` show its label. */
export type Secret = {
  reveal(): string
  toString(): string
  toJSON(): string
  [inspect.custom](): string
}

/** @param label the text to show instead, such as a URL without its credentials */
export function toSecret(value: string, label = '[redacted]'): Secret {
  const show = () => label
  return { reveal: () => value, toString: show, toJSON: show, [inspect.custom]: show }
}
