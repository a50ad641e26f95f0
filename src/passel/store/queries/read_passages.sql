select text from passage where document_id = $1 order by n
