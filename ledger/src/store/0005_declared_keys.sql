-- The file that declares a key. A key that left the file keeps it and has no `managed` name any more.
ALTER TABLE keys ADD COLUMN declared_in TEXT;
