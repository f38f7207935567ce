-- Credentials with a name of their own, which sources attach.

alter table credentials
    add column kind text,
    add column labels jsonb not null default '{}',
    add column description text,
    -- Null: bound by the rule for credentials without a list.
    add column allowed_hosts jsonb,
    add column allowed_sources jsonb,
    -- Field to expression, of the current version; nothing here is secret.
    add column refs jsonb not null default '{}',
    -- Grows with every change; `version` grows with the fields only.
    add column revision bigint not null default 1,
    -- The api key that gave every value of the current version itself.
    add column known_to uuid,
    -- The sources file that made it, where one did.
    add column managed_by text,
    add constraint credentials_name check (name ~ '^[a-z0-9][a-z0-9_-]{0,62}$'),
    add constraint credentials_owned_or_named check (name is null or owner_source_id is null);

-- Who changed which fields, and when; no values.
create table credential_versions (
    credential_id uuid not null references credentials (id) on delete cascade,
    version integer not null,
    created_at timestamptz not null default now(),
    key_id uuid,
    actor text not null,
    -- [{field, kind, changed}]
    fields jsonb not null,
    primary key (credential_id, version)
);

alter table sources
    add column attached_credential_id uuid references credentials (id),
    add column managed_by text;

create index sources_attached_credential on sources (attached_credential_id) where attached_credential_id is not null;
create index credentials_labels on credentials using gin (labels jsonb_path_ops) where name is not null;
