select id from organisation where id = $1 for no key update
