-- The highest number that was ever drawn, by whomever, whatever became of it.
select case when is_called then last_value else 0 end from org_event_n_seq
