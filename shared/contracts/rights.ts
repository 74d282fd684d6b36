import { z } from 'zod'

const time = z.iso.datetime({ offset: true, error: 'must be a time such as 2026-12-01T00:00:00Z' })
const listOf = (item: z.ZodString, max: number) => z.array(item).min(1).max(max)

/** Who may play an asset, and when. An absent field imposes no restriction. */
export const Rights = z
  .strictObject({
    from: time.optional().meta({ description: 'The first moment at which the asset may be played' }),
    until: time.optional().meta({ description: 'The first moment at which the asset may no longer be played' }),
    countries: listOf(z.string().regex(/^[A-Z]{2}$/, { error: 'must be two capital letters, as in ISO 3166' }), 300)
      .optional()
      .meta({ description: 'The countries in which the asset may be played (ISO 3166-1 alpha-2)' }),
    plans: listOf(z.string().min(1).max(64), 50)
      .optional()
      .meta({ description: "The plans that include the asset; compared with the token's `plan` claim" }),
  })
  .refine(({ from, until }) => !from || !until || Date.parse(from) < Date.parse(until), {
    path: ['until'],
    error: 'must be after from',
  })
  .meta({ id: 'Rights', examples: [{ from: '2026-12-01T00:00:00Z', countries: ['AT', 'DE'], plans: ['premium'] }] })
export type Rights = z.infer<typeof Rights>

/** Why an asset may not be played. */
export const Denial = z.enum(['not-started', 'expired', 'country', 'plan'])
export type Denial = z.infer<typeof Denial>

/** The 403 or 451 response: the asset exists, but this viewer may not play it now. */
export const NotAvailable = z
  .object({ status: z.literal('Not available'), reasons: z.array(Denial).min(1), requestId: z.string() })
  .meta({
    id: 'NotAvailable',
    examples: [
      { status: 'Not available', reasons: ['not-started'], requestId: '0f4d2c8e-5a39-4b1e-9c57-1d3f6a7b8c90' },
    ],
  })
export type NotAvailable = z.infer<typeof NotAvailable>
