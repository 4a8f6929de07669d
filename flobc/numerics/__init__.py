"""Numbers that every replica computes alike: the fixed-point grid, codecs and aggregation rules.

May know numpy and numba, and of FLoBC only ``flobc.errors``. Whatever enters a model is an integer
here, so a result depends on neither CPU, thread count nor the order of its inputs (``spec/AGG.md``).
"""
