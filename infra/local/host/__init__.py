"""A small Azure Functions host for machines without ``func``.

It runs a ``function_app.py`` (Python v2 programming model) as the platform does: same settings file, same host.json,
same trigger semantics for HTTP, timer and Service Bus queue triggers, handlers called with the genuine
``azure.functions`` types built by that library's own converters from the data the real host would send.

Run it with ``python -m infra.local.host``.
"""
