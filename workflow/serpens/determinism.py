"""The same bits each time, on a GPU too."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from serpens.errors import ConfigurationError

# cuBLAS reads it when it starts, and torch once, at the first product, whether or not determinism is wanted by then.
# With either value the workspace, and so the choice of kernels, is always the same.
CUBLAS = "CUBLAS_WORKSPACE_CONFIG"
CUBLAS_SIZES = (":4096:8", ":16:8")
# how torch begins to refuse an operation
REFUSED = re.compile(r"(\S+) does not have a deterministic implementation")


@contextmanager
def deterministic(device: torch.device, *, wanted: bool) -> Iterator[None]:
    """Let torch use only operations that give the same bits each time on an NVIDIA GPU, for a block.

    To be entered before CUDA computes anything. For other devices torch is told nothing.

    Raises
    ------
    ConfigurationError
        If the network needs an operation that has no such form.
    """
    if device.type == "cuda":
        fix_workspace()
    if device.type != "cuda" or not wanted:
        yield
        return
    cudnn = torch.backends.cudnn
    memory: Any = torch.utils.deterministic  # a property of a module, which type checkers do not see
    before = cudnn.deterministic, cudnn.benchmark, memory.fill_uninitialized_memory
    mode = torch.get_deterministic_debug_mode()
    # what use_deterministic_algorithms does, without loading torch's compiler
    torch.set_deterministic_debug_mode("error")
    cudnn.deterministic, cudnn.benchmark = True, False
    # it would write all memory of a batch once more, for the sake of code that reads what nobody wrote
    memory.fill_uninitialized_memory = False
    try:
        yield
    except RuntimeError as err:
        refused = REFUSED.search(str(err))
        if refused is None:
            raise
        msg = (
            f"the network must use operations that give the same bits each time, and {refused[1]} does not on a GPU: "
            "use another operation, train on the CPU (resources.gpu: 0), or set training.deterministic: false, after "
            "which this training cannot be made again exactly"
        )
        raise ConfigurationError(msg) from err
    finally:
        cudnn.deterministic, cudnn.benchmark, memory.fill_uninitialized_memory = before
        torch.set_deterministic_debug_mode(mode)


def fix_workspace() -> None:
    """Let cuBLAS, before it starts, have a workspace with which it always computes the same."""
    if os.environ.get(CUBLAS) not in CUBLAS_SIZES:
        os.environ[CUBLAS] = CUBLAS_SIZES[0]
