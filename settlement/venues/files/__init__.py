"""Readers that turn a file of fills into blocks of text columns. Memory stays flat however long the file is.

lines      a stream cut into runs of whole lines, each line numbered, none longer than a limit
csv        canonical columns as CSV
parquet    canonical columns as Parquet

OKX's own rows, as JSON or JSON lines, are read in venues/okx; venues/reading.py chooses.
"""
