-- Loads and writes: who read what, how it went, and where it runs.

-- By day, so that what is too old is dropped as a whole. Neither index holds a
-- column that the end of a run changes, so that its row is updated in place.
create table runs (
    id uuid not null,
    started_at timestamptz not null,
    finished_at timestamptz,
    -- Somebody asked for it to stop; an instance that missed the message finds it here.
    cancel_at timestamptz,
    rows bigint,
    bytes bigint,
    instance_id uuid not null,
    key_id uuid,
    source_id uuid,
    trace_id uuid,
    kind text not null,
    status text not null check (status in ('running', 'succeeded', 'failed', 'cancelled')),
    source_name text,
    stream text,
    columns text[],
    query_hash bytea check (length(query_hash) = 32),
    query text,
    error_code text,
    error_message text,
    report jsonb,
    primary key (id, started_at)
) partition by range (started_at);

create index runs_started_at on runs (started_at);

-- Takes what falls on a day that has no partition yet.
create table runs_default partition of runs default;
