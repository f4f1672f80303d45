"""Remote types: declared by admins, worked off over HTTP by programs in any language; their hints are rows."""
