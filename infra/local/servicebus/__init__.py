"""A local stand-in for Azure Service Bus queues: AMQP 1.0, as the ``azure-servicebus`` SDK speaks it.

``python -m infra.local.servicebus --port 5672 --data DIR`` serves the queues of ``Config.json``, which has the form
of Microsoft's emulator. Sessions, topics, forwarding and transactions are refused with ``amqp:not-implemented``.
"""
