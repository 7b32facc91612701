"""How the files of a study are read, where they do not say it themselves: the section ``read``."""

from typing import Annotated

from pydantic import Field

from serpens.configtypes import Real, Section, Text


class Read(Section):
    """How files are read, where they do not say it themselves."""

    member: Text | None = None
    """Which table of an archive (.zip, .tar) is meant; needed where it holds several."""
    max_expanded_mb: Annotated[Real, Field(gt=0)] = 100_000.0
    """To how much a packed file may unpack at most, in megabytes (10^6 bytes)."""
    max_ratio: Annotated[Real, Field(gt=1)] = 200.0
    """To how many times its size a packed file may unpack at most, beyond its first 100 megabytes."""
