/** Control and format characters (such as ANSI escapes and bidirectional overrides), separators, and invalid text. */
const UNPRINTABLE = /[\p{C}\p{Zl}\p{Zp}]/gu

/** Maximum length of a dead letter's reason. */
export const MAX_REASON = 500

/**
 * Converts text to one line of printable ASCII, for headers, logs and terminals. Escapes other characters as JSON does.
 * @param max maximum length of the result
 */
export function toLine(text: string, max: number): string {
  return text
    .slice(0, max)
    .replaceAll(/\s+/g, ' ')
    .replaceAll(/[^\x20-\x7e]/gu, escapeCharacter)
    .slice(0, max)
}

/**
 * Makes text safe to print on a terminal. Keeps line breaks and tabs. Escapes other unprintable characters as JSON
 * does, so that JSON still parses to the same value.
 */
export function toPrintable(text: string): string {
  return text.replaceAll(UNPRINTABLE, (character) =>
    /[\n\t]/.test(character) ? character : escapeCharacter(character),
  )
}

/** Escapes each UTF-16 code unit separately, as JSON does. */
function escapeCharacter(character: string): string {
  const escapeUnit = (unit: string) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`
  return character.split('').map(escapeUnit).join('')
}
