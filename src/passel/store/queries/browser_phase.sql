-- How far the least advanced of a batch's browsers is that are being started: `configuring` once all processes are up.
select case when exists (
    select from message m
    where m.batch_id = $1 and m.state = 'running' and m.outcome is null
      and not exists (select from event e where e.session_id = m.session_id and e.type = 'browser.configuring')
) then 'provisioning' else 'configuring' end
