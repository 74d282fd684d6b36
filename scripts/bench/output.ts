/** Clears the progress line, and prints a result. */
export function print(text: string): void {
  showProgress('')
  process.stdout.write(`${text}\n`)
}

/** On a terminal, replaces the last line. Otherwise prints nothing, so that the output contains only results. */
export function showProgress(text: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${text}`)
}
