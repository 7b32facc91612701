"""The part of the configuration that says which models are trained, how, and what they ask for."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field

from serpens.configtypes import (
    Argument,
    Contradiction,
    Count,
    Definition,
    Name,
    NotNegative,
    Positive,
    Section,
    ShareOrNone,
    Text,
    Truth,
    Whole,
    choice,
    shown,
)
from serpens.errors import listed
from serpens.families import FAMILIES

Optimizer = Literal["sgd", "adam", "adamw", "adadelta"]
Schedule = Literal["constant", "one_cycle"]
ClassWeights = Literal["none", "balanced"]
Precision = Literal["auto", "float32", "tf32", "bfloat16"]
Activation = Literal["sigmoid", "tanh", "relu", "silu", "gelu"]
Strategy = Literal["most_frequent", "mean", "last_value", "season"]


class Training(Section):
    """How networks are trained."""

    max_epochs: Count = 200
    """Most passes over the training rows."""
    batch_size: Count = 256
    """Rows in one step."""
    learning_rate: Positive = 0.001
    """Size of a step; with `one_cycle` the highest."""
    patience: Count = 20
    """Epochs without a lower validation loss after which training stops; the best epoch is kept."""
    optimizer: Optimizer = "adamw"
    """Rule that turns gradients into steps."""
    schedule: Schedule = "constant"
    """How the learning rate changes: not at all, or up and down once over `max_epochs`."""
    weight_decay: NotNegative = 0.01
    """How strongly weights are pulled to zero, as the optimizer defines it."""
    momentum: ShareOrNone = 0.9
    """Part of the last step that sgd repeats."""
    class_weights: ClassWeights = "none"
    """`balanced` gives each class the same total weight in the loss."""
    precision: Precision = "auto"
    """What matrix products and convolutions are computed in. `tf32` rounds their inputs to 10 bits on NVIDIA's GPUs
    since Ampere, and is float32 elsewhere; `bfloat16` computes the network in 8 bits (autocast), weights and losses in
    float32; `auto` is `tf32` on a GPU of NVIDIA's, else `float32`. Evaluation is always in float32."""
    compile: Truth = False
    """Compile the network (torch.compile): 10 to 60 s more at the start; worth it for long trainings on a GPU."""
    deterministic: Truth = True
    """On a GPU, use only operations that give the same bits each time. `false` is for a network of your own that needs
    others: its training cannot be made again exactly."""


class TrainingOverrides(Section):
    """Training settings of one model, in place of the study's."""

    max_epochs: Count | None = None
    batch_size: Count | None = None
    learning_rate: Positive | None = None
    patience: Count | None = None
    optimizer: Optimizer | None = None
    schedule: Schedule | None = None
    weight_decay: NotNegative | None = None
    momentum: ShareOrNone | None = None
    class_weights: ClassWeights | None = None
    precision: Precision | None = None
    compile: Truth | None = None
    deterministic: Truth | None = None


class Resources(Section):
    """What jobs ask for, trainings above all; what is not said is sized from data and model."""

    gpu: Annotated[Whole, Field(ge=0)] | None = None
    """Number of GPUs, over all nodes; without it one for a network, if the machine has any. 0 trains on the CPU."""
    gpu_model: Text | None = None
    """Model of GPU, as the scheduler calls it, such as `a100`."""
    nodes: Count = 1
    """Machines that train one model together, each with its part of the GPUs."""
    processes: Count | None = None
    """Processes that train one model together on CPUs, over all nodes; on GPUs there is one for each."""
    threads: Count | None = None
    """CPU cores, over all nodes."""
    mem_mb: Count | None = None
    """Memory of a node, in MB."""
    disk_mb: Count | None = None
    """Space for temporary files, in MB."""
    runtime: Count | None = None
    """Time limit of the first attempt, in minutes; each further one gets as much more."""
    shards: Count | None = None
    """Jobs among which the cleaning of a large table is dealt out; without it one job does it, or one for each file
    where there are several and they hold over 500 MB."""
    checkpoint_seconds: NotNegative = 60.0
    """Seconds between two checkpoints of a training, from which it goes on when it was killed; more when saving
    takes over 2 % of them. 0 saves after every step."""

    def contradictions(self) -> Iterator[Contradiction]:  # noqa: D102
        for key in ("gpu", "processes"):
            if (count := getattr(self, key)) and count % self.nodes:
                yield (key, "nodes"), f"must be dealt out evenly to {self.nodes} nodes, found {count}"
        if self.gpu and self.processes:
            yield ("processes", "gpu"), "is for CPUs; on GPUs there is one process for each"


def _either_name(schema: dict[str, Any]) -> None:
    """Let the JSON Schema do without name or family, of which each stands for the other."""
    schema["required"] = [key for key in schema["required"] if key not in ("name", "family")]


class Model(Section):
    """What every model has, of whatever family."""

    model_config = ConfigDict(json_schema_extra=_either_name)

    name: Name
    """Name in results and reports; without it the family."""
    family: str
    """Kind of model; without it the name."""
    training: TrainingOverrides = TrainingOverrides()
    """Training settings that differ from the study's; for networks."""

    def settings(self) -> dict[str, Any]:
        """Return the family's own settings, which its ``build`` or ``Estimator`` takes."""
        return self.model_dump(exclude={"name", "family", "training"})

    def contradictions(self) -> Iterator[Contradiction]:  # noqa: D102
        if not FAMILIES[self.family].network and self.training != TrainingOverrides():
            yield ("training", "family"), f"is for networks, and {self.family} is none"


class Trivial(Model):
    """Predicts without looking at the features: what any model must beat."""

    family: Literal["trivial"]
    """Kind of model."""
    strategy: Strategy | None = None
    """What is predicted; without it class frequencies, the mean, or in forecasting the value one season ago
    (the last value when the study has no season)."""


class Linear(Model):
    """Logistic or ridge regression; the strength of its penalty is chosen on the validation rows."""

    family: Literal["linear"]
    """Kind of model."""
    strengths: Annotated[tuple[Positive, ...], Field(min_length=1)] = (
        0.001,
        0.01,
        0.1,
        1.0,
        10.0,
        100.0,
        1000.0,
    )
    """Strengths of the squared penalty that are tried."""


class BoostedTrees(Model):
    """Gradient-boosted trees; growth stops when the validation loss has not fallen for 20 trees."""

    family: Literal["boosted_trees"]
    """Kind of model."""
    max_iterations: Count = 200
    """Most trees (per class)."""
    learning_rate: Positive = 0.1
    """Part of each tree's correction that is used."""
    max_leaf_nodes: Annotated[Whole, Field(ge=2)] = 31
    """Most leaves of a tree."""


class MLP(Model):
    """Fully connected network."""

    family: Literal["mlp"]
    """Kind of model."""
    width: Count = 256
    """Units in each hidden layer."""
    n_blocks: Count = 3
    """Hidden layers."""
    activation: Activation = "relu"
    """Function after each hidden layer."""
    dropout: ShareOrNone = 0.0
    """Fraction of hidden units that are left out in each training step."""


class CNN(Model):
    """Convolutional network for images; needs the study's `image`."""

    family: Literal["cnn"]
    """Kind of model."""
    channels: Annotated[tuple[Count, ...], Field(min_length=1)] = (32, 64)
    """Channels of each convolution block."""
    width: Count = 128
    """Units in the hidden layer after the convolutions."""
    activation: Activation = "relu"
    """Function after each layer."""
    dropout: ShareOrNone = 0.25
    """Fraction of hidden units that are left out in each training step."""
    augment_shift: Annotated[Whole, Field(ge=0)] = 1
    """Largest random shift of a training image, in pixels."""


class Custom(Model):
    """Your own `torch.nn.Module`."""

    family: Literal["custom"]
    """Kind of model."""
    path: Definition
    """Python file and class, such as `my_net.py:Net`."""
    arguments: dict[str, Argument] = Field(default_factory=dict)
    """Keyword arguments for the class, beside `input_shape` and `n_outputs`."""


FAMILY_SECTIONS: dict[str, type[Model]] = {
    "trivial": Trivial,
    "linear": Linear,
    "boosted_trees": BoostedTrees,
    "mlp": MLP,
    "cnn": CNN,
    "custom": Custom,
}


def _named(given: object) -> object:
    """Let a bare name stand for a model, the family for its name, and the name for its family."""
    if isinstance(given, str):
        given = {"family": given}
    if not isinstance(given, dict):
        raise ValueError(f"must be a family or a mapping, found {shown(given)}; families: {listed(FAMILIES)}")
    family = given.get("family", given.get("name"))
    if not isinstance(family, str) or family not in FAMILIES:
        found = f"unknown family {shown(family)}"
        if "family" not in given:
            found = f"model {shown(family)} needs a family" if "name" in given else "a model needs a family"
        raise ValueError(f"{found}{choice(family, FAMILIES)}")
    return {"name": family, "family": family} | given


AnyFamily = Trivial | Linear | BoostedTrees | MLP | CNN | Custom
AnyModel = Annotated[
    Annotated[AnyFamily, Field(discriminator="family")],
    BeforeValidator(_named, json_schema_input_type=str | AnyFamily),
]
