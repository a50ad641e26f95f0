select item_index from message where id = $1
