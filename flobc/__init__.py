"""FLoBC: federated learning whose every round is a block that anyone can verify."""

__version__ = "0.1.0"

__all__ = ["RunResult", "RunSettings", "__version__", "run"]


def __getattr__(name: str) -> object:
    """Load ``run`` and its types at first use, so that importing a part of the library stays cheap."""
    if name in ("run", "RunResult"):
        from flobc.composition import runner  # noqa: PLC0415

        return getattr(runner, name)
    if name == "RunSettings":
        from flobc.composition.settings import RunSettings  # noqa: PLC0415

        return RunSettings
    raise AttributeError(f"module 'flobc' has no attribute {name!r}")
