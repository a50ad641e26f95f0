select * from batch where id = $1 and state <> 'deleting'
