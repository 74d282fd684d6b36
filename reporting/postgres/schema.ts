/**
 * Each element upgrades the schema by one version, and is never changed after a release. Tables with counts have no
 * index on a column that changes, so that updates stay heap-only (HOT).
 */
export const migrations = [
  `
  create table reporting.state (
    is_only boolean primary key default true check (is_only),
    store_id uuid not null default gen_random_uuid(),
    -- Rises with each change of the counts.
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
    -- The last id of the top list at its last cut.
    asset_cut_views bigint,
    asset_cut_id text collate "C",
    user_cut_views bigint,
    user_cut_id text collate "C",
    -- The last report of the log.
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
]
