-- Answers to requests with an idempotency key, for as long as a key stands for
-- one request. Neither the caller's key nor the request is kept, only hashes.
create table idempotency (
    -- When the request was claimed.
    at timestamptz not null default clock_timestamp(),
    -- Of api key, route and idempotency key.
    slot bytea not null check (length(slot) = 32),
    -- Of the request, under a key that is not in the store.
    fingerprint bytea not null check (length(fingerprint) = 32),
    -- Who answers, or answered.
    instance_id uuid not null,
    -- Null while the request runs.
    status smallint,
    headers jsonb,
    -- Null where the answer must not or cannot be shown again.
    body bytea,
    -- Id of what was made, for answers that are not shown again.
    made text,
    primary key (at, slot)
) partition by range (at);

-- By day, so that what is too old is dropped as a whole; takes what falls on a
-- day that has no partition yet.
create table idempotency_default partition of idempotency default;

create index idempotency_slot on idempotency (slot, at);
