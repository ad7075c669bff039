"""An emulator of Azure Cosmos DB for NoSQL on SQLite, spoken to by the genuine azure-cosmos SDK over plain http.

Start it with ``python -m infra.local.cosmos --port 0 --data DIR``. It answers as the service's documentation says; what
it does not support it refuses with a 400 that says so. Left out on purpose: more than one partition key range (so no
query plans), the change feed, stored procedures and user-defined functions, unique keys, computed properties, full-text
and vector search, geography, throughput (only :mod:`.faults` answers 429), and the check of the master key. Request
charges are estimates (:mod:`.charge`).

A request goes through :mod:`.server` to :mod:`.items`, :mod:`.batch` or :mod:`.queries`. A query is parsed
(:mod:`.parser`), its WHERE clause becomes conditions on indexed columns (:mod:`.predicates`, :mod:`.branches`,
:mod:`.plan`), and what these find goes through the query's clauses in Python (:mod:`.rows`, :mod:`.evaluate`), page by
page (:mod:`.paging`). The first query of its shape makes its index: at a million documents that takes seconds, once.
"""
