-- Under the file's lock.
delete from file_use where file_id = $1 and holder_id = $2
