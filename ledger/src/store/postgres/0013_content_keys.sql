-- A holder's day may have several keys under one master key: one that was made between a rewrapping and the change of the
-- master key is brought over later.
DROP INDEX content_keys_by_holder;
CREATE INDEX content_keys_by_holder ON content_keys (organization, scope, holder, day, master);
