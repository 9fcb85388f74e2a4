"""What Beacon needs in the database: the wanted state, what is there, what is missing, and how it is made."""
