-- Every table leads with the organisation, so that a shard can own whole organisations later.

-- `owner_id` is the organisation whose key made this one: its keys may manage it too. `settings` are its own choices
-- (passel.services.verification.settings).
create table organisation (
    id text primary key,
    name text not null,
    slug text not null unique,
    created_at timestamptz not null,
    owner_id text references organisation,
    settings jsonb not null default '{}'
);

create index organisation_owner on organisation (owner_id) where owner_id is not null;

create table api_key (
    org_id text not null references organisation,
    id text primary key,
    label text not null,
    prefix text not null,
    scopes text[] not null,
    device_name text,
    secret_hash bytea not null unique,
    created_at timestamptz not null,
    last_used_at timestamptz,
    revoked_at timestamptz
);

-- A device has one managed key, made anew each time that it asks.
create unique index api_key_device on api_key (org_id, device_name) where device_name is not null and revoked_at is null;

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

create index source_snapshot_stale on source_snapshot (expires_at) where status <> 'ready';

-- `unused_since` is when the file was uploaded, or a use of it was last given up; null once a sweep has found it in use.
-- One that nothing names is `doomed` before its bytes are removed, so that nothing can name it any more.
create table file (
    org_id text not null references organisation,
    id text primary key,
    filename text not null,
    media_type text not null,
    size_bytes bigint not null,
    sha256 text not null,
    created_at timestamptz not null,
    unused_since timestamptz,
    doomed boolean not null default false
);

create index file_unused on file (unused_since) where unused_since is not null;

-- What names files: sessions whose messages do, and batches whose items could not be made (`holder_id`).
create table file_use (
    org_id text not null,
    file_id text not null,
    holder_id text not null,
    primary key (file_id, holder_id)
);

create index file_use_holder on file_use (holder_id);

-- How much of a kind of work an organisation had in a month (`2026-11`, UTC).
create table usage (
    org_id text not null references organisation,
    kind text not null,
    period text not null,
    used bigint not null,
    primary key (org_id, kind, period)
) with (fillfactor = 50);

-- Sessions that share what they wait for, such as a model's key. `name` is `class/rest`, and the class gives the
-- width where `capacity` is null. `active` counts messages that hold a place, `parked` those that wait or are delayed.
create table lane (
    org_id text not null references organisation,
    id bigint generated always as identity primary key,
    name text not null,
    class text not null generated always as (split_part(name, '/', 1)) stored,
    capacity int check (capacity > 0),
    active int not null default 0 check (active >= 0),
    parked int not null default 0 check (parked >= 0),
    vtime bigint not null default 0,
    used_at timestamptz not null,
    unique (org_id, name)
) with (fillfactor = 50);

-- `kind` names the work, `subject_id` what it is done with (an agent), `spec` what the kind keeps of it.
-- Running is who has an active message, behind which `lined` others stand; `closed` says that no message will ever run
-- again. `batch_id` is the batch that an item of made it, or that it was begun for by an item's session; a fork has its first `forked_seq` events from another session.
create table session (
    org_id text not null,
    id text primary key,
    kind text not null,
    subject_id text,
    spec jsonb not null,
    name text,
    metadata jsonb not null,
    lane text not null,
    secrets bytea,
    batch_id text,
    forked_from text,
    forked_seq int,
    closed text check (closed in ('failed', 'expired')),
    last_seq int not null default 0,
    message_count int not null default 0,
    lined int not null default 0 check (lined >= 0),
    active_message_id text,
    last_message_id text,
    created_at timestamptz not null
) with (fillfactor = 75);

create index session_org on session (org_id, kind, id);
create index session_subject on session (subject_id, kind, id) where subject_id is not null;
create index session_single on session (created_at) where batch_id is null;
create index session_metadata on session using gin (metadata jsonb_path_ops) where metadata <> '{}'::jsonb;

-- A message is its own job: `ready` rows are the queue. `attempt` is the fence and `step` the last write of that attempt;
-- `tries` counts attempts as people do: one that only goes on after a wait (`resuming`) is no new one. `suspicion` rises with
-- each worker that died with the message in its hands (reap_messages.sql), `lost` counts those that had nothing else in
-- theirs. `outcome` is that of the item, once it is settled. `throttled` messages wait for a place in their lane although they
-- are of no batch.
create table message (
    org_id text not null,
    id text primary key,
    session_id text not null,
    kind text not null,
    number int not null,
    state text not null check (
        state in ('held', 'lined', 'ready', 'suspect', 'running', 'waiting', 'delayed', 'completed', 'failed')
    ),
    lane_id bigint not null,
    batch_id text,
    item_index int,
    item_try int,
    priority smallint not null,
    attempt int not null default 0,
    step int not null default 0,
    tries int not null default 0,
    resuming boolean not null default false,
    suspicion int not null default 0,
    lost int not null default 0,
    worker_id bigint,
    ready_at timestamptz,
    wake_at timestamptz,
    reason text,
    outcome text check (outcome in ('completed', 'failed')),
    cancelled boolean not null default false,
    throttled boolean not null default false,
    result jsonb,
    error text,
    created_at timestamptz not null,
    ended_at timestamptz
) with (fillfactor = 75, autovacuum_vacuum_scale_factor = 0.05);

create index message_ready on message (kind, priority, ready_at, id) where state = 'ready';
create index message_suspect on message (kind, id) where state = 'suspect';
create index message_running on message (worker_id) where state = 'running';
create index message_parked on message (wake_at) where state in ('waiting', 'delayed');
create index message_waiting on message (org_id, kind, id) where state = 'waiting';
create index message_lined on message (session_id, number) where state = 'lined';
create index message_held on message (batch_id, lane_id, item_index) where state = 'held';
create index message_escalated on message (org_id, ended_at, id) 
    where kind = 'verification' and result ->> 'escalation' is not null and not result ? 'reused';
create index message_reused on message ((result ->> 'reused')) where kind = 'verification' and result ? 'reused';
create index message_begun on message (batch_id, state) where batch_id is not null and item_index is null;
create index message_untouched on message (created_at) where kind = 'browser' and state in ('held', 'ready') and attempt = 0;
create index message_throttled on message (lane_id, id) where state = 'held' and throttled;

create table event (
    org_id text not null,
    session_id text not null,
    seq int not null check (seq > 0),
    message_id text,
    type text not null,
    data jsonb not null,
    created_at timestamptz not null,
    primary key (session_id, seq)
);

-- Something outside that an attempt does: a model call, a tool call. The row is there before anything leaves.
-- `started` after its attempt has ended becomes `in_doubt`.
create table effect (
    org_id text not null,
    id text primary key,
    session_id text not null,
    message_id text not null,
    attempt int not null,
    kind text not null,
    name text not null,
    number int not null,
    request_hash text not null,
    state text not null check (state in ('started', 'done', 'failed', 'unsent', 'in_doubt')),
    input_tokens bigint not null default 0,
    output_tokens bigint not null default 0,
    cache_read_tokens bigint not null default 0,
    cost_usd numeric,
    error text,
    detail jsonb,
    started_at timestamptz not null,
    ended_at timestamptz
) with (fillfactor = 75);

create index effect_session on effect (session_id);

-- Who works; `places` has how many messages of each kind at once. A worker that is not seen any more loses its messages (passel.engine.liveness).
create table worker (
    id bigint generated always as identity primary key,
    name text not null,
    kinds text[] not null,
    places jsonb not null,
    seen_at timestamptz not null
);

-- Counters are by items (queued, running, completed, failed); `spec` is what the kind keeps of it. One that `expires_at` has passed
-- is deleted with all that is in it. One that is `deleting` has gone for everybody but those who
-- remove what is left of it. `active` counts messages that hold a place, where there is
-- a cap. `charged` is what its completed items say that they cost, in cents: `cost_usd` also has what was spent in vain.
create table batch (
    org_id text not null references organisation,
    id text primary key,
    kind text not null,
    subject_id text,
    idempotency_key text,
    request_hash text not null,
    max_concurrency int check (max_concurrency > 0),
    spec jsonb not null default '{}',
    expires_at timestamptz,
    state text not null check (state in ('open', 'cancelling', 'done', 'deleting')),
    size int not null,
    queued int not null,
    running int not null,
    completed int not null,
    failed int not null,
    cancelled int not null default 0 check (cancelled >= 0),
    active int not null default 0 check (active >= 0),
    calls bigint not null default 0,
    in_doubt bigint not null default 0,
    unpriced bigint not null default 0,
    input_tokens bigint not null default 0,
    output_tokens bigint not null default 0,
    cost_usd numeric not null default 0,
    charged bigint not null default 0,
    created_at timestamptz not null,
    cancel_requested_at timestamptz,
    finished_at timestamptz,
    finishes int not null default 0,
    last_event int not null default 0,
    check (queued + running + completed + failed = size),
    check (queued >= 0 and running >= 0 and completed >= 0 and failed >= 0)
) with (fillfactor = 50);

create unique index batch_key on batch (org_id, kind, idempotency_key) where idempotency_key is not null;
create index batch_org on batch (org_id, kind, id);
create index batch_cancelling on batch (id) where state = 'cancelling';
create index batch_deleting on batch (id) where state = 'deleting';
create index batch_done on batch (finished_at) where state = 'done';
create index batch_expiring on batch (expires_at) where state = 'done' and expires_at is not null;

-- The status that a batch's counts say (`passel.core.states.aggregate`, which a test holds this against).
create function batch_status(queued int, running int, completed int, failed int) returns text
    language sql immutable parallel safe
return case
    when queued > 0 and running + completed + failed = 0 then 'queued'
    when queued + running > 0 then 'running'
    when failed = 0 then 'completed'
    when completed > 0 then 'partial_failed'
    else 'failed'
end;

-- The ledger of a batch: a row for each transaction that moved its items. `changes` are the transitions in their order
-- (passel.core.batch_log), the counts those after them, `status` the batch's own where that changed. A row stands for as
-- many numbers as it has transitions, and one more for the status; `last_seq` is the last of them.
create table batch_event (
    org_id text not null,
    batch_id text not null,
    last_seq int not null,
    changes jsonb not null,
    queued int not null,
    running int not null,
    completed int not null,
    failed int not null,
    status text,
    created_at timestamptz not null,
    primary key (batch_id, last_seq)
);

-- The ledger of an organisation, which says in what order its ledgers grew: a row for each statement that told any of them
-- something. `ids` are sessions, or batches, and of each the numbers from `firsts` to `lasts` are new. `n` is drawn under the
-- locks of all of them, by a transaction that may still be under way when later numbers are committed
-- (passel.store.org_ledger). Kept for a while only.
create table org_event (
    org_id text not null,
    n bigint generated always as identity primary key,
    of_batches boolean not null default false,
    ids text[] not null,
    firsts int[] not null,
    lasts int[] not null,
    created_at timestamptz not null
);

create index org_event_org on org_event (org_id, n);

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

-- An item's state is that of its message (`outcome`, else `state`). One that could not be made has no message but an
-- error, and `request` keeps what was asked. `item_try` holds what an item was before it was tried again.
create table item (
    org_id text not null,
    batch_id text not null,
    index int not null,
    try int not null default 1,
    session_id text,
    message_id text,
    request jsonb,
    error text,
    primary key (batch_id, index),
    check ((message_id is null) = (error is not null))
);

create table item_try (
    org_id text not null,
    batch_id text not null,
    index int not null,
    try int not null,
    session_id text,
    message_id text,
    request jsonb,
    error text,
    primary key (batch_id, index, try)
);

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

create index idempotency_key_session on idempotency_key (session_id);

-- Where what happens in sessions of a kind is announced: those of the subject (an agent) that it `watches`, or those without a
-- subject of the organisation that it does. `subject_id` is whose deliveries they are: the agent, or the webhook itself where an
-- organisation has several. `sealed` is the secret that signs, `previous` the one before it, which signs too until `previous_until`.
-- Without `batch_items` it does not hear of those singly.
create table webhook (
    org_id text not null references organisation,
    subject_id text primary key,
    id text not null,
    kind text not null,
    watches text not null,
    batch_items boolean not null,
    description text,
    disabled_at timestamptz,
    lane_id bigint not null,
    url text not null,
    event_types text[] not null,
    sealed bytea not null,
    previous bytea,
    previous_until timestamptz,
    created_at timestamptz not null,
    updated_at timestamptz not null
);

create index webhook_watches on webhook (watches, kind);
create index webhook_lane on webhook (lane_id);

-- What a webhook is told: a session of the kind `webhook` (`id`), whose first message (`message_id`) delivers it and whose
-- later ones deliver it again. It ends with the webhook that it was written for (`webhook_id`). `scope_id` is the session or the batch that it happened in, `sequence` counts from 1 there,
-- `event_seq` is the event that it tells of. `told_seq` is the event that told the session of its failure.
create table delivery (
    org_id text not null,
    id text primary key,
    message_id text not null,
    subject_id text not null,
    webhook_id text not null,
    scope_id text not null,
    sequence int not null,
    type text not null,
    event_seq int,
    told_seq int,
    created_at timestamptz not null,
    unique (scope_id, sequence)
);

create index delivery_subject on delivery (subject_id, created_at, id);

-- Where deliveries stand. One that was acknowledged stays so; else its last message says it.
create view delivery_log as
select d.org_id, d.id, d.subject_id, d.scope_id, d.sequence, d.type, d.event_seq, d.created_at,
       case when f.state = 'completed' then f.result ->> 'outcome'
            when l.state = 'completed' then l.result ->> 'outcome'
            when l.state = 'failed' then 'failed'
            else 'pending' end as status,
       l.wake_at, l.error
from delivery d
join session s on s.id = d.id
join message f on f.id = d.message_id
join message l on l.id = s.last_message_id;

-- The site of an address that a browser was at; null for what has none.
create function browser_domain(url text) returns text
    language sql immutable parallel safe
return lower(substring(url from '^https?://(?:[^/?#@]*@)?(\[[^]]*\]|[^/:?#]+)'));

-- What was signalled under a name and nobody has waited for yet; the first who does takes it.
create table signal (
    org_id text not null references organisation,
    n bigint generated always as identity primary key,
    name text not null,
    data jsonb not null,
    created_at timestamptz not null
);

create index signal_name on signal (org_id, name, n);

-- What an organisation holds to be true, or false (`polarity`): what claims are compared with. `embedding` are 512 numbers of 16
-- bits. `version` is that of the shelf when the fact was written.
create table fact (
    org_id text not null references organisation,
    id text primary key,
    text text not null,
    polarity boolean not null,
    source text,
    date date,
    embedding bytea not null,
    version bigint not null,
    created_at timestamptz not null
);

create unique index fact_text on fact (org_id, md5(text));
create index fact_listed on fact (org_id, id);
create index fact_version on fact (org_id, version, id);

-- The facts of an organisation as a whole, so that a worker that has them in memory sees at a glance what is new: `version` counts
-- changes, `thinned` is the last one that took facts away.
create table fact_shelf (
    org_id text primary key references organisation,
    version bigint not null,
    thinned bigint not null default 0,
    size int not null default 0
);

-- Files of claims that were uploaded and wait for the batch that is made of them: its items lie in the object store. One that
-- was `used_at` some moment, or has expired, is removed with its bytes.
create table upload (
    org_id text not null references organisation,
    id text primary key,
    filename text not null,
    format text not null,
    items int not null,
    created_at timestamptz not null,
    expires_at timestamptz not null,
    used_at timestamptz
);

create index upload_expiring on upload (expires_at);
create index upload_used on upload (used_at) where used_at is not null;

-- Which verification an item's idempotency key stands for: that of the first that came to run, unless it failed.
create table verification_key (
    org_id text not null,
    key text not null,
    content_hash text not null,
    request_hash text not null,
    session_id text not null references session on delete cascade,
    primary key (org_id, key)
);

create index verification_key_session on verification_key (session_id);

-- Documents that the method `tool` searches, whose text lies in passages.
create table document (
    org_id text not null references organisation,
    id text primary key,
    title text not null,
    url text,
    dated date,
    characters int not null,
    passages int not null,
    created_at timestamptz not null
);

create index document_org on document (org_id, created_at desc, id desc);

create table passage (
    org_id text not null,
    document_id text not null references document on delete cascade,
    n int not null,
    text text not null,
    search tsvector not null generated always as (to_tsvector('english', text)) stored,
    primary key (document_id, n)
);

create index passage_search on passage using gin (search);

-- Saved states of browsers. The archive is `file_id`, null until the first is saved; `id` holds it. The session that writes it next is
-- `writer_id`, as long as that has not ended; with neither there is no profile. `session_id` is the one whose state it has.
create table browser_profile (
    org_id text not null references organisation,
    name text not null,
    id text not null,
    description text,
    session_id text,
    writer_id text,
    saving boolean not null default false,
    file_id text,
    created_at timestamptz not null,
    primary key (org_id, name)
);

create index browser_profile_writer on browser_profile (writer_id) where writer_id is not null;

-- How many browser sessions an organisation has made in the minute that began with the first of them.
create table browser_minute (
    org_id text primary key references organisation,
    began_at timestamptz not null,
    made int not null
);

-- Extensions that browser sessions load. The package is `file_id`, which `id` holds; `manifest` is what it says of itself.
create table browser_extension (
    org_id text not null references organisation,
    id text primary key,
    name text not null,
    manifest jsonb not null,
    file_id text not null,
    created_at timestamptz not null
);

create index browser_extension_org on browser_extension (org_id, created_at);

-- Certificates of authorities that browser sessions trust which name them. `der` is X.509.
create table browser_certificate (
    org_id text not null references organisation,
    name text not null,
    id text not null,
    description text,
    der bytea not null,
    created_at timestamptz not null,
    primary key (org_id, name)
);
