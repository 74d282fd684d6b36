import { z } from 'zod'
import { optionalCount } from '../runtime/settings.ts'

const FORM = 'must be NATS servers, separated by commas, such as nats://127.0.0.1:4222'
const SERVER = /^((nats|tls):\/\/)?([^\s/@]+@)?(\[[\da-f:]+\]|[^\s/:@[\]]+)(:\d+)?$/i

/** Comma-separated NATS servers. As in URLs, credentials (`user:password@` or `token@`) may precede the host. */
export const natsUrl = z
  .string({ error: FORM })
  .transform((text) => text.split(',').map((part) => part.trim()))
  .refine((urls) => urls.every((url) => SERVER.test(url)), { error: FORM })
  .meta({ description: 'NATS servers, separated by commas' })

/** The servers allow at most five replicas. */
export const eventsReplicas = optionalCount(
  'Replicas of the log and of the catalogue, 3 in a NATS cluster; unset: 1 for a new one, and no change to an existing one',
  5,
)
