/** Formats a count with its noun, such as `1 view` or `2,000 views`. */
export function plural(count: number, noun: string): string {
  return `${count.toLocaleString('en')} ${noun}${count === 1 ? '' : 's'}`
}
