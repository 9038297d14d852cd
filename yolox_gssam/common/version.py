"""The version of the package, which pyproject.toml names, too."""

__version__ = "0.1.0"
