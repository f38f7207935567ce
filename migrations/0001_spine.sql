-- Sources, their credentials, api keys, instances: what the spine keeps.

create table settings (
    key text primary key,
    value jsonb not null
);

create table instances (
    id uuid primary key,
    version text not null,
    address text not null,
    started_at timestamptz not null default now(),
    heartbeat_at timestamptz not null default now()
);

-- Proof that a master key is the right one; reveals nothing of it.
create table master_keys (
    id bytea primary key check (length(id) = 8),
    check_value bytea not null check (length(check_value) = 32),
    created_at timestamptz not null default now()
);

create table api_keys (
    id uuid primary key,
    name text not null,
    role text not null check (role in ('reader', 'editor', 'admin')),
    key_hash bytea not null unique check (length(key_hash) = 32),
    prefix text not null,
    scopes jsonb,
    created_at timestamptz not null default now(),
    expires_at timestamptz,
    last_used_at timestamptz
);

-- A credential with an owner belongs to that source alone and is not listed.
create table credentials (
    id uuid primary key,
    name text collate "C" unique,
    owner_source_id uuid unique,
    version integer not null default 1,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);

create table credential_fields (
    credential_id uuid not null references credentials (id) on delete cascade,
    version integer not null,
    field text not null,
    sealed bytea not null,
    primary key (credential_id, version, field)
);

create table sources (
    id uuid primary key,
    -- By bytes, so that the index serves the order of lists.
    name text collate "C" not null unique check (name ~ '^[a-z0-9][a-z0-9_-]{0,62}$'),
    connector text collate "C" not null,
    config jsonb not null,
    config_version integer not null,
    credential_id uuid references credentials (id),
    labels jsonb not null default '{}',
    metadata jsonb not null default '{}',
    description text,
    version bigint not null default 1,
    last_test jsonb,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);

-- The id of the master key, which stands in every envelope behind the format byte.
create index credential_fields_master_key on credential_fields (substring(sealed from 2 for 8));
create index instances_heartbeat on instances (heartbeat_at);
create index sources_labels on sources using gin (labels jsonb_path_ops);
create index sources_connector_name on sources (connector, name);
