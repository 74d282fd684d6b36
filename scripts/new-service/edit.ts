import type { NewService } from './new-service.ts'

/** A change to an existing file. */
export type FileEdit = readonly [file: string, edit: (text: string, service: NewService) => string]

/** The place to change does not occur exactly once in a file. */
export class PlaceError extends Error {
  override name = 'PlaceError'
}

/** Adds text before the only match of `place`. @throws PlaceError */
export function before(text: string, place: RegExp, added: string): string {
  return replace(text, place, (match) => added + match)
}

/** Adds text after the only match of `place`. @throws PlaceError */
export function after(text: string, place: RegExp, added: string): string {
  return replace(text, place, (match) => match + added)
}

/** Replaces the only match of `place`. @throws PlaceError */
export function replace(text: string, place: RegExp, toReplacement: (match: string) => string): string {
  const matches = [...text.matchAll(new RegExp(place, `g${place.flags}`))]
  const [match] = matches
  if (!match || matches.length > 1)
    throw new PlaceError(`expected one place that matches ${place}, found ${matches.length}`)
  return text.slice(0, match.index) + toReplacement(match[0]) + text.slice(match.index + match[0].length)
}

/** Adds a line to a block of lines that are sorted by `keyOf`. */
export function insertSorted(block: string, line: string, keyOf: (line: string) => string | undefined): string {
  const lines = block.split('\n')
  const key = keyOf(line) ?? ''
  const index = lines.findIndex((other) => (keyOf(other) ?? '') > key)
  lines.splice(index < 0 ? lines.length : index, 0, line)
  return lines.join('\n')
}
