-- Api keys that change and are rotated; who did what, and who read what.

alter table api_keys
    add column version bigint not null default 1,
    add column updated_at timestamptz not null default now(),
    -- After a rotation the key before may go on for a while.
    add column previous_hash bytea unique check (length(previous_hash) = 32),
    add column previous_until timestamptz;

create unique index api_keys_name on api_keys (name collate "C");

-- Ids of the master keys that an instance holds, so that nothing is sealed
-- under a key that another one cannot open.
alter table instances add column master_keys bytea[];

-- Two classes: `admin` is written in the transaction of the act itself,
-- `access` (preview, load, query) before the first byte of the answer.
-- By day, so that what is too old is dropped as a whole.
create table audit (
    id uuid not null,
    at timestamptz not null default clock_timestamp(),
    class text not null check (class in ('admin', 'access')),
    action text not null,
    key_id uuid,
    actor text not null,
    request_id text not null,
    address text,
    target_kind text not null,
    target_id uuid,
    target_name text,
    run_id uuid,
    stream text,
    query_hash bytea check (length(query_hash) = 32),
    columns text[],
    details jsonb,
    primary key (at, id)
) partition by range (at);

-- Takes what falls on a day that has no partition yet, so that no record is
-- lost; it is emptied into that day's partition when that is made.
create table audit_default partition of audit default;
