import { z } from 'zod'

/** The time ranges for which a history is available. */
export const HistoryRange = z.enum(['5m', '1h', '24h'])
export type HistoryRange = z.infer<typeof HistoryRange>

/** `GET /history` */
export const HistoryQuery = z.object({ range: HistoryRange.default('5m') })

const time = z.iso.datetime()
const count = z.int().nonnegative()
const instance = z.string().optional().meta({ description: "The instance's URL, if the service has more than one" })

/** A step that starts at `at`. Steps in which the edge took no sample are omitted. */
export const HistoryPoint = z.object({
  at: time,
  seconds: z.int().positive().meta({
    description: 'Number of seconds in the step that were sampled; divide a count by it to get a rate per second',
  }),
  plays: count.meta({ description: 'Views recorded, in the log or in the outbox' }),
  errors: count.meta({ description: 'Plays that failed with a 5xx' }),
  p99Ms: z
    .number()
    .nonnegative()
    .nullable()
    .meta({ description: 'Estimated 99th percentile of the response time in the slowest second' }),
  backlog: count.nullable().meta({ description: 'Highest number of views in the outbox; null if unknown' }),
  lagMs: z.number().nonnegative().nullable().meta({
    description: 'Longest time that a message in the log waited to be counted; null if unknown',
  }),
})
export type HistoryPoint = z.infer<typeof HistoryPoint>

/**
 * A period in which a service, the event log (`events`) or a data store was not up. `from` is the time of the first
 * sample that shows the outage. `degraded`: the component responded, but was not ready, was behind the log, or was
 * stalled.
 */
export const Outage = z.object({
  service: z.string(),
  instance,
  state: z.enum(['down', 'degraded']),
  reason: z.string().optional(),
  from: time,
  to: time.nullable().meta({ description: 'null while the outage lasts' }),
})
export type Outage = z.infer<typeof Outage>

/** The start of a process that replaced an earlier one. */
export const Restart = z.object({ service: z.string(), instance, at: time })
export type Restart = z.infer<typeof Restart>

/** What the edge has observed of the system, in chronological order. The last step may still be in progress. */
export const History = z
  .object({
    range: HistoryRange,
    step: z.int().positive().meta({ description: 'Seconds per step' }),
    now: time,
    since: time.nullable().meta({ description: 'When the history starts; null before the first sample' }),
    services: z.array(z.string()).meta({ description: 'The services and data stores whose outages are recorded' }),
    points: z.array(HistoryPoint),
    outages: z.array(Outage),
    restarts: z.array(Restart),
  })
  .meta({
    id: 'History',
    examples: [
      {
        range: '5m',
        step: 1,
        now: '2026-11-22T12:04:31.000Z',
        since: '2026-11-22T09:00:00.000Z',
        services: ['play', 'reporting', 'events'],
        points: [
          { at: '2026-11-22T12:04:05.000Z', seconds: 1, plays: 20, errors: 0, p99Ms: 4.1, backlog: 0, lagMs: 950 },
          { at: '2026-11-22T12:04:06.000Z', seconds: 1, plays: 21, errors: 0, p99Ms: 4.0, backlog: 0, lagMs: 1_950 },
        ],
        outages: [{ service: 'reporting', state: 'down', from: '2026-11-22T12:04:05.012Z', to: null }],
        restarts: [{ service: 'metadata', at: '2026-11-22T12:01:00.500Z' }],
      },
    ],
  })
export type History = z.infer<typeof History>
