"""Pure: schemas, checks and features of rows."""
