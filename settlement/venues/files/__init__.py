"""Readers that turn a file of fills into blocks of text columns. Memory stays flat however long the file is.

lines      a stream cut into runs of whole lines, each line numbered, none longer than a limit
csv        canonical columns as CSV
parquet    canonical columns as Parquet
json       OKX rows or envelopes as JSON or JSON lines (what they mean is in venues/okx/parse.py)
"""
