"""Where torch may compute."""

from __future__ import annotations

import torch

from kgrecall.errors import ConfigError, Shown


def usable_device(name: str) -> torch.device:
    """The device of this name (``cpu``, ``cuda``, ``cuda:1``), tried out.

    Raises:
        ConfigError: torch knows no such device, or cannot use it here.
    """
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(
            "device",
            expected="a device that torch can use here",
            got=Shown(f"{name!r} ({str(error).partition(chr(10))[0]})"),
            remedy='Pass "cpu", or install a build of torch for the accelerator.',
        ) from error
    return device
