-- The file lies in the object store, with so many items.
update upload set items = $3 where org_id = $1 and id = $2 returning id
