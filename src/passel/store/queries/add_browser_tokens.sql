-- From now on the session is opened by tokens that were minted alone. $2 has the scope of each token's hash.
update session
set spec = spec || jsonb_build_object('scoped', true, 'tokens', coalesce(spec -> 'tokens', '{}') || $2::jsonb)
where id = $1
