"""One module a command. Each has ``register(subparsers)`` and ``run(args) -> exit code``.

Modules import only the standard library at the top, so that ``vignette --help`` stays quick.
"""
