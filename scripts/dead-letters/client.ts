import type { z } from 'zod'
import { DeadLetterContent, DeadLetterPage, DeadLetterReplayed } from '../../shared/contracts/dead-letter.ts'
import { Done, Problem } from '../../shared/contracts/status.ts'
import { codeOf } from '../../shared/runtime/error-code.ts'
import { toLine } from '../../shared/runtime/printable.ts'
import { toReason } from '../../shared/runtime/reason.ts'
import type { Secret } from '../../shared/runtime/secret.ts'
import { send } from '../http.ts'

const TIMEOUT_MS = 30_000
const PAGE = 1_000
const MAX_TEXT = 500

/** A request failed. The message is safe to print, and says what to do. */
export class CallError extends Error {
  override name = 'CallError'
}

type Options = { origin: string; token: Secret | undefined }

/** Calls queue-listener. The methods throw CallError. */
export function createDeadLetterClient({ origin, token }: Options) {
  async function call<Schema extends z.ZodType>(
    schema: Schema,
    method: 'GET' | 'POST' | 'DELETE',
    path: string,
    body?: Uint8Array,
  ): Promise<z.infer<Schema>> {
    const { status, json } = await sendTo(path, method, body)
    const parsed = schema.safeParse(json)
    if (status === 200 && parsed.success) return parsed.data
    throw new CallError(`queue-listener at ${origin} returned ${describeFailure(status, json)}`)
  }

  async function sendTo(path: string, method: 'GET' | 'POST' | 'DELETE', body: Uint8Array | undefined) {
    try {
      return await send(`${origin}${path}`, { method, token, body, timeoutMs: TIMEOUT_MS })
    } catch (error) {
      if (error instanceof Error && error.name === 'TimeoutError') {
        throw new CallError(`queue-listener at ${origin} did not respond in time`)
      }
      const reason = toLine(codeOf(error) ?? toReason(error), MAX_TEXT)
      throw new CallError(`queue-listener is not reachable at ${origin} (${reason}); npm start starts all services`)
    }
  }

  return {
    async *pages(): AsyncGenerator<DeadLetterPage['deadLetters']> {
      for (let after: number | null = 0; after !== null; ) {
        const page: DeadLetterPage = await call(DeadLetterPage, 'GET', `/dead-letters?limit=${PAGE}&after=${after}`)
        yield page.deadLetters
        after = page.next
      }
    },
    get: (sequence: number) => call(DeadLetterContent, 'GET', `/dead-letters/${sequence}`),
    replay: (sequence: number, corrected: Uint8Array | undefined) =>
      call(DeadLetterReplayed, 'POST', `/dead-letters/${sequence}/replay`, corrected),
    delete: (sequence: number) => call(Done, 'DELETE', `/dead-letters/${sequence}`),
  }
}

/** Formats the status, and one line per error. */
function describeFailure(status: number, json: unknown): string {
  const problem = Problem.safeParse(json).data
  if (!problem) return `${status} without a problem document; it may be a different program`
  const hint = status === 401 ? "; set WRITE_TOKEN to queue-listener's token" : ''
  const errors = (problem.errors ?? []).map(({ path, message }) => `\n  ${path ? `${path}: ` : ''}${message}`)
  return [`${status} ${problem.status}${hint}`, ...errors].map(toPrintableLine).join('\n')
}

function toPrintableLine(text: string): string {
  const indent = text.startsWith('\n  ') ? '  ' : ''
  return indent + toLine(text.trim(), MAX_TEXT)
}
