-- No row back: somebody was faster.
update session set spec = spec || '{"viewed": true}' where id = $1 and not spec ? 'viewed' returning id
