"""A made-up broker program and its fills: for the demonstration, the tests and the benchmark."""
