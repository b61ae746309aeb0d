"""The names and calls of the seed repos, DEC-keras, IDEC and IDEC-toy, so that code written for them runs here.

`models` has those of the classes DEC and IDEC, `data` those of the data sets. docs/migration.md lists them all.
"""
