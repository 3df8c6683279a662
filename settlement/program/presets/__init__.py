"""Documents of program terms that ship with the product."""
