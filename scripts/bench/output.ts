/** Prints a result. */
export function print(text: string): void {
  showProgress('')
  process.stdout.write(`${text}\n`)
}

/** Replaces the last line of a terminal. Elsewhere, nothing is printed, so that the output is only results. */
export function showProgress(text: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${text}`)
}
