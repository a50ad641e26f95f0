select n from org_event order by n limit 1
