-- Recipes: steps with a name, which are used wherever steps are taken.

create table recipes (
    id uuid primary key,
    -- By bytes, so that the index serves the order of lists.
    name text collate "C" not null unique check (name ~ '^[a-z0-9][a-z0-9_-]{0,62}$'),
    labels jsonb not null default '{}',
    description text,
    -- Of the steps that are meant when no version is named.
    version integer not null default 1,
    -- Grows with every change; `version` grows with the steps and what columns mean only.
    revision bigint not null default 1,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);

create index recipes_labels on recipes using gin (labels jsonb_path_ops);

-- Every version there ever was: `name@3` means the same for good.
create table recipe_versions (
    recipe_id uuid not null references recipes (id) on delete cascade,
    version integer not null,
    created_at timestamptz not null default now(),
    key_id uuid,
    actor text not null,
    -- Not jsonb: they are read back with their fields in the order they were given in.
    steps json not null,
    column_types json,
    primary key (recipe_id, version)
);
