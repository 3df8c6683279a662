"""A stand-in OKX on loopback: a real HTTP server to rehearse on before going live. See docs/sandbox.md."""
