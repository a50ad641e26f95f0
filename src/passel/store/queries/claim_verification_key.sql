-- Who holds the key after this: whoever came first, unless its verification failed, or is what another request was for that
-- has ended; then the new one. Returns the holder and what became of it.
with held as (
    select k.key, k.content_hash, k.request_hash, k.session_id, m.state, m.result
    from verification_key k
    join session s on s.id = k.session_id
    left join message m on m.id = s.last_message_id
    where k.org_id = $1 and k.key = $2
    for update of k
), put as (
    insert into verification_key (org_id, key, content_hash, request_hash, session_id)
    select $1, $2, $3, $4, $5
    where not exists (select from held h where h.state is distinct from 'failed'
                      and not (h.state = 'completed' and h.content_hash = $3 and h.request_hash <> $4))
    on conflict (org_id, key) do update
        set content_hash = excluded.content_hash, request_hash = excluded.request_hash, session_id = excluded.session_id
        where exists (select from held)
    returning session_id
)
select session_id, $3 as content_hash, $4 as request_hash, null as state, null as result from put
union all
select session_id, content_hash, request_hash, state, result from held where not exists (select from put)
