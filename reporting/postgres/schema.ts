/**
 * Each element upgrades the schema by one version, and is never changed after a release. Tables with counts have no
 * index on a column that changes, so that updates stay heap-only (HOT).
 */
export const migrations = [
  `
  create table reporting.state (
    is_only boolean primary key default true check (is_only),
    store_id uuid not null default gen_random_uuid(),
    -- Rises with each change to the counts.
    version bigint not null default 0,
    -- The batch that set the position.
    batch text,
    incarnation text,
    sequence bigint,
    views bigint not null default 0,
    is_complete boolean not null default true,
    producers bigint not null default 0,
    generation bigint not null default 0,
    known_ids bigint not null default 0,
    lost_views bigint not null default 0,
    gaps text not null default '[]',
    -- The last entry of each top list at its last cut.
    asset_cut_views bigint,
    asset_cut_id text collate "C",
    user_cut_views bigint,
    user_cut_id text collate "C",
    -- The last report about the log.
    reports bigint not null default 0,
    report_incarnation text,
    log_end bigint,
    oldest text,
    reported_at timestamptz
  ) with (fillfactor = 10);
  insert into reporting.state default values;
  create table reporting.asset_views (id text collate "C" primary key, views bigint not null) with (fillfactor = 70);
  create table reporting.user_views (id text collate "C" primary key, views bigint not null) with (fillfactor = 70);
  -- The number of ids with counts, and of candidates for the top list.
  create table reporting.size (by text primary key, ids bigint not null, candidates bigint not null)
    with (fillfactor = 10);
  create table reporting.top_candidate (by text, id text collate "C", primary key (by, id));
  -- The key is a digest of the name, which may exceed the maximum size of an index entry.
  create table reporting.producer (
    key text collate "C" primary key,
    name text not null,
    serial bigint not null,
    sequence bigint not null,
    reported bigint not null
  );
  create index on reporting.producer (sequence);
  create table reporting.known_id (key text collate "C" primary key, generation bigint not null);
  create index on reporting.known_id (generation);
  -- The ids that a version changed; null if there are too many.
  create table reporting.change (
    version bigint primary key,
    at timestamptz not null default now(),
    assets text[],
    users text[]
  );
  create table reporting.recent_second (second bigint primary key, views bigint not null) with (fillfactor = 50);
  `,
  `
  -- The direct counts whose commits are not confirmed yet.
  create table reporting.receipt (id uuid primary key, at timestamptz not null default now());
  `,
  `
  -- Views that were counted before this version have no verdicts.
  alter table reporting.state
    add qualified bigint not null default 0,
    -- Views that are not in the log.
    add direct bigint not null default 0,
    -- Events in the log that are not views.
    add retried bigint not null default 0,
    add rejected bigint not null default 0,
    -- The latest time at which the log stored a message, in milliseconds since 1970.
    add clock bigint not null default 0,
    -- The number of views with idempotency keys so far.
    add keyed bigint not null default 0,
    add origin integer not null default 0,
    add asset_cut_qualified bigint,
    add asset_cut_qualified_id text collate "C",
    add user_cut_qualified bigint,
    add user_cut_qualified_id text collate "C";
  -- If an asset's viewers were copied as an estimate, known_viewers is lower than viewers.
  alter table reporting.asset_views
    add qualified bigint not null default 0,
    add viewers bigint not null default 0,
    add known_viewers bigint not null default 0;
  alter table reporting.user_views add qualified bigint not null default 0;
  alter table reporting.size add qualified_candidates bigint not null default 0;
  alter table reporting.top_candidate
    add of text not null default 'views', drop constraint top_candidate_pkey, add primary key (by, of, id);
  create table reporting.not_qualified (reason text primary key, views bigint not null) with (fillfactor = 10);
  -- The assets' distinct users, as hashes.
  create table reporting.viewer (asset_id text collate "C", hash bigint, primary key (asset_id, hash));
  -- The last views with idempotency keys, numbered in log order. The key is a digest of the event id.
  create table reporting.keyed_view (
    key text collate "C" primary key,
    number bigint not null,
    at bigint not null,
    asset_id text not null,
    user_id text not null
  );
  create index on reporting.keyed_view (number);
  -- The log's incarnations, and the versions of the rules that judged their views.
  create table reporting.verdict_origin (origin integer primary key, incarnation text not null, rules text not null);
  -- Partitioned by day of the log's clock. No column is nullable, because nulls would enlarge each row.
  create table reporting.verdict (
    at bigint not null,
    clock bigint not null,
    sequence bigint not null,
    origin integer not null,
    -- The index in the batch.
    index smallint not null,
    -- q: qualified, n: not qualified, r: rejected.
    state "char" not null,
    -- The event id if it is a UUID; otherwise derived from it.
    key uuid not null,
    reason text not null,
    asset_id text not null,
    user_id text not null,
    -- Empty if the key is the event id.
    event_id text not null,
    -- The id and time of the earlier event that decided the verdict, in JSON.
    because text not null
  ) partition by range (clock);
  create index on reporting.verdict (key);
  create index on reporting.verdict using brin (clock) with (pages_per_range = 32, autosummarize = on);
  create table reporting.verdict_default partition of reporting.verdict default;
  -- When the log stored the first view of each day with verdicts. Both columns are in milliseconds since 1970.
  create table reporting.verdict_day (day bigint primary key, since bigint not null);
  `,
  `
  -- The views played in each minute (m), hour (h) and day (d). "at" is the start of the step, in milliseconds since
  -- 1970. The rows for all assets together have an empty asset id.
  create table reporting.series (
    step "char",
    at bigint,
    asset_id text collate "C",
    views bigint not null,
    qualified bigint not null,
    primary key (step, at, asset_id)
  ) with (fillfactor = 70);
  -- After a copy of in-memory counts: the start of the first steps that have per-asset counts.
  alter table reporting.state add series_hour_since bigint, add series_day_since bigint;
  `,
  `
  -- The greatest watch time of each view with a report. The key is that of its verdict. A verdict that depends on watch
  -- time has the state p, and the required milliseconds in "because".
  create table reporting.watched (
    clock bigint,
    sequence bigint,
    index smallint,
    origin integer,
    ms bigint not null,
    primary key (clock, sequence, index, origin)
  ) with (fillfactor = 70);
  -- The numbers of views that wait for watch time, by the second of the log's clock in which they were counted.
  create table reporting.waiting (
    second bigint primary key,
    unreported bigint not null,
    reported bigint not null
  ) with (fillfactor = 50);
  -- The last reports whose views are not in the log yet, numbered in log order. The key is a digest of the play.
  create table reporting.early_report (
    key text collate "C" primary key,
    number bigint not null,
    clock bigint not null,
    ms bigint not null
  );
  create index on reporting.early_report (number);
  alter table reporting.state add early bigint not null default 0, add early_clock bigint not null default 0;
  `,
]
