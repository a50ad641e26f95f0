delete from webhook where subject_id = $1 returning lane_id
