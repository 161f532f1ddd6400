"""The Store over SQL: schema, named queries and migrations stand in .sql files, SQLite executes them."""
