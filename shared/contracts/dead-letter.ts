import { z } from 'zod'
import { PageQuery } from './page.ts'
import { Problem } from './status.ts'

const toNumber = z.coerce.number<string>().int()

export const DeadLetterParams = z.object({
  sequence: toNumber.min(1).meta({ description: "The original message's sequence in the log", examples: [7] }),
})

/** Selects the first `limit` dead letters after the sequence `after`. */
export const DeadLetterQuery = z.object({
  limit: PageQuery.shape.limit,
  after: toNumber
    .min(0)
    .optional()
    .meta({ examples: [7] }),
})

const EXAMPLE = {
  sequence: 7,
  subject: 'events.view.tv',
  reason: 'Unexpected token in JSON',
  at: '2026-11-20T21:00:00.000Z',
  size: 8,
}

/** A message in the log that was rejected. Its views are not counted until it is replayed. */
export const DeadLetter = z
  .object({
    sequence: z.int().min(1).meta({ description: "The original message's sequence in the log" }),
    subject: z
      .string()
      .optional()
      .meta({ description: "The message's subject; absent in embedded mode, which has no subjects" }),
    reason: z.string().meta({ description: 'Why the message is not counted, in printable ASCII' }),
    at: z.iso.datetime({ offset: true }).meta({ description: 'When the message became a dead letter (RFC 3339)' }),
    size: z.int().min(0).meta({ description: 'Size of the body in bytes' }),
    bodyOmitted: z.literal(true).optional().meta({
      description: 'True if the body was too large to copy, so only the original message in the log contains it',
    }),
  })
  .meta({ id: 'DeadLetter', examples: [EXAMPLE] })
export type DeadLetter = z.infer<typeof DeadLetter>

/** A page of dead letters in ascending sequence order. `next` is the `after` for the next page, or null. */
export const DeadLetterPage = z
  .object({ deadLetters: z.array(DeadLetter), next: z.int().nullable() })
  .meta({ id: 'DeadLetterPage', examples: [{ deadLetters: [EXAMPLE], next: null }] })
export type DeadLetterPage = z.infer<typeof DeadLetterPage>

export const DeadLetterContent = DeadLetter.extend({
  headers: z
    .record(z.string(), z.array(z.string()))
    .meta({ description: "The message's headers; empty if they are malformed" }),
  body: z.string().optional().meta({ description: 'Absent if the log no longer has the body' }),
  encoding: z
    .enum(['utf-8', 'base64'])
    .meta({ description: 'The encoding of `body`: base64 if the original is not valid UTF-8' }),
}).meta({ id: 'DeadLetterContent', examples: [{ ...EXAMPLE, headers: {}, body: 'not json', encoding: 'utf-8' }] })
export type DeadLetterContent = z.infer<typeof DeadLetterContent>

export const DeadLetterReplayed = z
  .object({
    status: z.literal('ok'),
    sequence: z.int().meta({ description: 'The sequence of the message that contains the replayed views' }),
    views: z.int().min(0).meta({ description: 'Number of views that were appended, not including watch-time reports' }),
  })
  .meta({ id: 'DeadLetterReplayed', examples: [{ status: 'ok', sequence: 12, views: 1 }] })
export type DeadLetterReplayed = z.infer<typeof DeadLetterReplayed>

const { requestId } = Problem.shape
const REQUEST_ID = '0f4d2c8e-5a39-4b1e-9c57-1d3f6a7b8c90'

export const DeadLetterNotFound = z
  .object({ sequence: z.int(), status: z.literal('Dead letter not found'), requestId })
  .meta({
    id: 'DeadLetterNotFound',
    examples: [{ sequence: 7, status: 'Dead letter not found', requestId: REQUEST_ID }],
  })
export type DeadLetterNotFound = z.infer<typeof DeadLetterNotFound>

/** The 409 response for a dead letter that has already been replayed or deleted. Either action is final. */
export const DeadLetterResolved = z
  .object({
    sequence: z.int(),
    status: z.enum(['Dead letter already replayed', 'Dead letter already deleted']),
    at: z.iso.datetime({ offset: true }).meta({ description: 'When it was replayed or deleted (RFC 3339)' }),
    requestId,
  })
  .meta({
    id: 'DeadLetterResolved',
    examples: [
      { sequence: 7, status: 'Dead letter already replayed', at: '2026-11-20T21:05:00.000Z', requestId: REQUEST_ID },
    ],
  })
export type DeadLetterResolved = z.infer<typeof DeadLetterResolved>
