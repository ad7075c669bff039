"""How the objects are built and handed to each other, room by room; ``castiel.bootstrap`` puts it together.

``outside``: what reaches Azure, Redis and the providers; ``stores``: its containers. ``access``: limits, credentials,
adapters. ``syncing``: the engine, tasks and pushes. ``webhooks``: registrations and deliveries. ``operating``: what only
the command asks for. ``handlers``: the five flows.
"""
