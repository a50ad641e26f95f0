update session set spec = jsonb_set(spec, '{tokens}', (spec -> 'tokens') - $2::text) where id = $1 and spec ? 'tokens'
