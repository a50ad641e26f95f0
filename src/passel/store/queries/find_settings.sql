select settings from organisation where id = $1
