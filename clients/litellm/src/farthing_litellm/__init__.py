"""Sends what LiteLLM calls used to Farthing, and loses none of it.

Two names are of interest: `FarthingLogger`, for `litellm.callbacks = [FarthingLogger(url=..., key=...)]`, and `farthing`,
an instance configured by FARTHING_URL, FARTHING_KEY and FARTHING_SPOOL, for `callbacks: farthing_litellm.farthing` in the
proxy's config.yaml. Both are made when they are first asked for: importing this module needs neither litellm nor a
setting, so that `python -m farthing_litellm` can send a spool from a machine that has no litellm.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .version import VERSION as __version__

if TYPE_CHECKING:
    from .logger import FarthingLogger

    farthing: FarthingLogger

__all__ = ["FarthingLogger", "__version__", "farthing"]


def __getattr__(name: str) -> Any:
    if name == "FarthingLogger":
        from .logger import FarthingLogger

        return FarthingLogger
    if name == "farthing":
        from .logger import FarthingLogger

        # kept under its name, so that whoever asks again gets the same instance and no second spool is opened.
        instance = globals()["farthing"] = FarthingLogger()
        return instance
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
