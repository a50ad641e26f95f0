delete from browser_extension where id = $1
