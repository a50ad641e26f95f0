-- Its receiver says that it is gone: from now on nothing is announced there.
update webhook set disabled_at = $2 where subject_id = $1 and disabled_at is null
