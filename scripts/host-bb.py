"""Stands in for BitBake's Python library where the host's own Python looks for it."""

raise ImportError(
    "This BitBake runs metadata in an interpreter of its own; its 'bb' package cannot be imported "
    "by the host's Python yet. Tools that need it there (devtool, recipetool, ...) want the "
    "reference BitBake's lib directory first on PYTHONPATH for now."
)
