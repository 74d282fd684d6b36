import { z } from 'zod'

/** The number of calls, and the number of items in these calls, such as views. Keyed by `from to`. */
export const CallCounts = z.record(z.string(), z.tuple([z.number(), z.number()]))
export type CallCounts = z.infer<typeof CallCounts>

export const PointRows = z.array(
  z.object({
    at: z.number(),
    seconds: z.number(),
    plays: z.number(),
    errors: z.number(),
    p99Ms: z.number().nullable(),
    backlog: z.number().nullable(),
    lagMs: z.number().nullable(),
  }),
)
export const Outages = z.array(
  z.object({
    service: z.string(),
    instance: z.string(),
    state: z.enum(['down', 'degraded']),
    reason: z.string(),
    start: z.number(),
    end: z.number(),
    isOpen: z.number().transform(Boolean),
  }),
)
export const Restarts = z.array(z.object({ service: z.string(), instance: z.string(), at: z.number() }))
export const TrafficRows = z.array(
  z.object({
    at: z.number(),
    process: z.string(),
    traffic: z.string().transform((text) => CallCounts.parse(JSON.parse(text))),
  }),
)
export const Started = z.object({ startedAt: z.string(), seenAt: z.number() })
export const Time = z.object({ at: z.number().nullable() })

/** Each process adds its own rows to `samples`. */
export const schema = `
  CREATE TABLE IF NOT EXISTS samples (
    step INTEGER NOT NULL,
    at INTEGER NOT NULL,
    process TEXT NOT NULL,
    seconds INTEGER NOT NULL,
    plays INTEGER NOT NULL,
    errors INTEGER NOT NULL,
    p99 REAL,
    backlog INTEGER,
    lag REAL,
    traffic TEXT NOT NULL,
    PRIMARY KEY (step, at, process)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS outages (
    service TEXT NOT NULL,
    instance TEXT NOT NULL,
    state TEXT NOT NULL,
    start INTEGER NOT NULL,
    end INTEGER NOT NULL,
    open INTEGER NOT NULL,
    reason TEXT NOT NULL,
    PRIMARY KEY (service, instance, state, start)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS restarts (
    service TEXT NOT NULL,
    instance TEXT NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (service, instance, at)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS instances (
    service TEXT NOT NULL,
    instance TEXT NOT NULL,
    startedAt TEXT NOT NULL,
    seenAt INTEGER NOT NULL,
    PRIMARY KEY (service, instance)
  ) STRICT, WITHOUT ROWID;
`

/** Adds the sample for a second to the step that contains this second. */
export const UPSERT = `
  INSERT INTO samples VALUES (?, ?, ?, 1, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET
    seconds = min(seconds + 1, step),
    plays = plays + excluded.plays,
    errors = errors + excluded.errors,
    p99 = coalesce(max(p99, excluded.p99), p99, excluded.p99),
    backlog = coalesce(max(backlog, excluded.backlog), backlog, excluded.backlog),
    lag = coalesce(max(lag, excluded.lag), lag, excluded.lag)
`
/** Aggregates the rows from all processes. */
export const SELECT_POINTS = `
  SELECT at, max(seconds) AS seconds, sum(plays) AS plays, sum(errors) AS errors, max(p99) AS p99Ms,
    sum(backlog) AS backlog, max(lag) AS lagMs
  FROM samples WHERE step = ? AND at >= ? AND at <= ? GROUP BY at ORDER BY at
`
