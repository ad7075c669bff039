"""What the services need from outside, as Protocols, each with its promise in words.

``stores``: documents. ``messaging``: queues and events. ``coordination``: leases, limits, small shared state.
``secrets``: the vault. ``clock``: time and chance. Adapters of Azure are in ``castiel.azure``; hand-written
fakes for unit tests in ``tests/support/fakes``; one contract suite holds both to these words.
"""
