select id from lane where active > 0 order by id
