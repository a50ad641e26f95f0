-- Under the files' locks: a use of them is about to end, and a sweep looks whether others are left.
update file set unused_since = $2 where id = any($1::text[])
