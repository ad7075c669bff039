"""An emulator of Azure Cosmos DB for NoSQL on SQLite, spoken to by the genuine azure-cosmos SDK over plain http.

Start it with ``python -m infra.local.cosmos --port 0 --data DIR``. What it does not support it refuses with a 400
that says so. Request charges are estimates (see :mod:`infra.local.cosmos.charge`).
"""
