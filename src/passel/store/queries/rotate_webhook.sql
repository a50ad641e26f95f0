update webhook set previous = sealed, previous_until = $3, sealed = $2, updated_at = $4 where subject_id = $1 returning subject_id
