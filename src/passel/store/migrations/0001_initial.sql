-- Every table leads with the organisation, so that a shard can own whole organisations later.

create table organisation (
    id text primary key,
    name text not null,
    slug text not null unique,
    created_at timestamptz not null
);

create table api_key (
    org_id text not null references organisation,
    id text primary key,
    label text not null,
    prefix text not null,
    secret_hash bytea not null unique,
    created_at timestamptz not null,
    last_used_at timestamptz,
    revoked_at timestamptz
);

create table credential (
    org_id text not null references organisation,
    name text not null,
    id text not null,
    sealed bytea not null,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    primary key (org_id, name)
);

create table source_snapshot (
    org_id text not null references organisation,
    id text primary key,
    sha256 text not null,
    size_bytes bigint not null,
    metadata jsonb not null,
    status text not null check (status in ('pending_upload', 'ready', 'failed')),
    failure_reason text,
    blob_path text,
    created_at timestamptz not null,
    expires_at timestamptz not null
);

create table agent (
    org_id text not null references organisation,
    id text primary key,
    name text not null,
    active_version_id text not null,
    created_at timestamptz not null,
    deleted_at timestamptz
);

create unique index agent_live_name on agent (org_id, name) where deleted_at is null;

create table agent_version (
    org_id text not null,
    id text primary key,
    agent_id text not null references agent,
    number int not null,
    snapshot_id text not null references source_snapshot,
    archive_sha256 text not null,
    size_bytes bigint not null,
    spec jsonb not null,
    created_at timestamptz not null,
    unique (agent_id, number)
);

create index agent_version_snapshot on agent_version (snapshot_id);

create table file (
    org_id text not null references organisation,
    id text primary key,
    filename text not null,
    media_type text not null,
    size_bytes bigint not null,
    sha256 text not null,
    created_at timestamptz not null
);

-- Organisation x model key. `capacity` null means the server's setting.
create table lane (
    org_id text not null references organisation,
    id bigint generated always as identity primary key,
    name text not null,
    capacity int check (capacity > 0),
    active int not null default 0 check (active >= 0),
    vtime bigint not null default 0,
    unique (org_id, name)
) with (fillfactor = 50);

-- `fence` is the number of the newest attempt and `step` counts its writes: a worker's write names both.
create table session (
    org_id text not null,
    id text primary key,
    agent_id text not null,
    version_id text not null,
    name text,
    metadata jsonb not null,
    llm_id text,
    lane_id bigint not null,
    internet_access boolean not null default false,
    secrets bytea,
    status text not null check (status in ('idle', 'running', 'failed', 'expired')),
    last_seq int not null default 0,
    fence int not null default 0,
    step int not null default 0,
    message_count int not null default 0,
    active_message_id text,
    last_message_id text,
    last_message_status text,
    created_at timestamptz not null
) with (fillfactor = 75);

create index session_org on session (org_id, id);
create index session_agent on session (agent_id, id);
create index session_metadata on session using gin (metadata jsonb_path_ops) where metadata <> '{}'::jsonb;

create table message (
    org_id text not null,
    id text primary key,
    session_id text not null,
    number int not null,
    state text not null check (state in ('held', 'lined', 'ready', 'running', 'completed', 'failed')),
    attempt int not null default 0,
    handed_back int not null default 0,
    batch_id text,
    item_index int,
    error text,
    created_at timestamptz not null,
    completed_at timestamptz,
    unique (session_id, number)
) with (fillfactor = 75);

create index message_active on message (id) where state in ('ready', 'running');

create table event (
    org_id text not null,
    session_id text not null,
    seq int not null check (seq > 0),
    message_id text,
    type text not null,
    source text not null,
    data jsonb not null,
    created_at timestamptz not null,
    primary key (session_id, seq)
);

-- A row is written before the call leaves. `started` after its attempt has ended becomes `in_doubt`.
create table model_call (
    org_id text not null,
    id text primary key,
    session_id text not null,
    message_id text not null,
    fence int not null,
    attempt int not null,
    number int not null,
    provider text not null,
    model text not null,
    request_hash text not null,
    state text not null check (state in ('started', 'answered', 'failed', 'in_doubt')),
    input_tokens bigint not null default 0,
    output_tokens bigint not null default 0,
    cache_read_tokens bigint not null default 0,
    cost_usd numeric,
    error text,
    started_at timestamptz not null,
    ended_at timestamptz
) with (fillfactor = 75);

create index model_call_session on model_call (session_id);
create index model_call_started on model_call (message_id) where state = 'started';

create table batch (
    org_id text not null references organisation,
    id text primary key,
    kind text not null check (kind in ('agent', 'browser', 'verification')),
    agent_id text,
    idempotency_key text,
    request_hash text not null,
    max_concurrency int check (max_concurrency > 0),
    state text not null check (state in ('open', 'cancelling', 'done')),
    size int not null,
    queued int not null,
    running int not null,
    completed int not null,
    failed int not null,
    cancelled int not null default 0,
    active int not null default 0 check (active >= 0),
    calls bigint not null default 0,
    in_doubt bigint not null default 0,
    unpriced bigint not null default 0,
    input_tokens bigint not null default 0,
    output_tokens bigint not null default 0,
    cost_usd numeric not null default 0,
    created_at timestamptz not null,
    cancel_requested_at timestamptz,
    finished_at timestamptz,
    check (queued + running + completed + failed = size),
    check (queued >= 0 and running >= 0 and completed >= 0 and failed >= 0)
) with (fillfactor = 50);

create unique index batch_key on batch (org_id, idempotency_key) where idempotency_key is not null;
create index batch_org on batch (org_id, id);
create index batch_cancelling on batch (id) where state = 'cancelling';

-- What a batch still holds back in one lane, and how far it has come there.
create table batch_lane (
    org_id text not null,
    batch_id text not null,
    lane_id bigint not null,
    held int not null check (held >= 0),
    pass bigint not null,
    primary key (batch_id, lane_id)
) with (fillfactor = 50);

create index batch_lane_held on batch_lane (lane_id, pass) where held > 0;

create table item (
    org_id text not null,
    batch_id text not null,
    index int not null,
    state text not null check (state in ('held', 'ready', 'running', 'completed', 'failed')),
    lane_id bigint,
    session_id text,
    message_id text,
    request jsonb,
    error text,
    finished_at timestamptz,
    primary key (batch_id, index)
) with (fillfactor = 75);

create index item_held on item (batch_id, lane_id, index) where state = 'held';
create index item_open on item (batch_id, index) where state in ('held', 'ready', 'running');

-- Answers that a repeated request gets again. `scope` is a session's or an agent's id.
create table idempotency_key (
    org_id text not null,
    scope text not null,
    key text not null,
    request_hash text not null,
    session_id text not null,
    seq int not null,
    created_at timestamptz not null,
    primary key (scope, key)
);
