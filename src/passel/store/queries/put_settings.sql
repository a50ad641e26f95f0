update organisation set settings = $2 where id = $1
