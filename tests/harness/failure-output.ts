import { afterEach, beforeEach } from 'vitest'
import { type Child, children } from './child.ts'

/** Number of lines per process. */
const MAX_LINES = 5
const MAX_LENGTH = 160

/** The number of lines that each process had printed when the test began. */
let before = new Map<Child, number>()

beforeEach(() => {
  before = new Map(children.map((child) => [child, child.lines.length]))
})

/** Appends each process's last output to a failed test's error. The CI log may contain nothing else. */
afterEach(({ task }) => {
  const [error] = task.result?.errors ?? []
  if (!error) return
  const lines = children.flatMap((child) => {
    const last = child.lines.slice(before.get(child) ?? 0).slice(-MAX_LINES)
    return last.map((line) => `${child.pid} ${toText(line)}`.slice(0, MAX_LENGTH))
  })
  const output = `\n${lines.join('\n')}`
  // The reporters for terminals print the message, and the JSON reporter prints the stack.
  error.stack = (error.stack ?? error.message) + output
  error.message += output
})

/** Shortens the JSON that a service logs to what happened, and why. */
function toText(line: string): string {
  if (!line.startsWith('{')) return line
  try {
    const { name, msg, reason, err } = JSON.parse(line)
    return [name, msg, reason ?? err?.message].filter((part) => part !== undefined).join(': ')
  } catch {
    return line
  }
}
