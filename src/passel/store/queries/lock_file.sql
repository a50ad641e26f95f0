select id from file where id = $1 for no key update
