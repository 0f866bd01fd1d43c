"""What torch can compute on."""

from __future__ import annotations

import torch
import torch_geometric  # noqa: F401  (a broken installation must fail here, not in the middle of a build)


def describe_devices() -> dict[str, str]:
    """Devices and threads of this process, ready to be shown: ``{"devices": "cpu, cuda:0 (NVIDIA ...)", ...}``."""
    cuda = [f"cuda:{i} ({torch.cuda.get_device_name(i)})" for i in range(torch.cuda.device_count())]
    return {"devices": ", ".join(["cpu", *cuda]), "torch threads": str(torch.get_num_threads())}
