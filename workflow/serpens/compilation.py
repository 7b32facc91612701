"""Networks that torch compiles before they learn."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from serpens.errors import EnvironmentFaultError


def compiled(network: nn.Module) -> Callable[[Tensor], Tensor]:
    """Return a network's forward pass, compiled at its first batch of each size.

    One program for each size, and none for several: which of two that fit is used would depend on what came before,
    and a training that is taken up has another past.
    """
    passes: Callable[[Tensor], Tensor] = torch.compile(network, dynamic=False)
    return passes


@contextmanager
def compiling(*, wanted: bool) -> Iterator[None]:
    """Say in a block where networks are compiled what to do when that fails; to be entered within `deterministic`.

    Raises
    ------
    EnvironmentFaultError
        If the compiler lacks something, or cannot compile the network.
    """
    if not wanted:
        yield
        return
    import torch._inductor.config
    from torch._dynamo.exc import TorchDynamoException

    # it measures no programs against each other where the same bits are wanted each time
    deterministic = torch.are_deterministic_algorithms_enabled()
    try:
        with torch._inductor.config.patch(deterministic=deterministic), warnings.catch_warnings():
            # torch's compiler imports parts of torch that torch calls old
            warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"torch\.")
            yield
    except TorchDynamoException as err:
        reason = str(err).strip().partition("\n")[0]
        msg = (
            f"training.compile: true needs a network and a machine that torch can compile for; it says: {reason}. Give "
            "the machine a C++ compiler (and, for a GPU, the torch build that brings triton), or set training.compile: "
            "false"
        )
        raise EnvironmentFaultError(msg) from err
