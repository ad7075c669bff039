"""Holds the Bicep files of ``infra/azure`` to what Azure takes, without Azure.

``python -m infra.bicep`` evaluates them with the parameters of dev and prod and lists what is wrong: syntax, names
that nothing declares, parameters that a module lacks or does not know, and each resource's properties against its
type's schema (``infra/azure/schemas``). It knows the part of the language that these files use, and refuses the rest.
"""
