"""Does this CPU multiply in bfloat16 itself? Where it does, training in it is several times as fast as in float32."""

from __future__ import annotations

from typing import Literal


def fastest_on_cpu() -> Literal["bf16", "float32"]:
    """In what this machine's CPU trains fastest: bf16 where AMX or AVX512-BF16 multiply in it, else float32."""
    import torch

    checks = (getattr(torch.cpu, name, None) for name in ("_is_amx_tile_supported", "_is_avx512_bf16_supported"))
    return "bf16" if any(check is not None and check() for check in checks) else "float32"
