"""A driven, damped two-level system: the optical Bloch equations."""

import numpy as np
from numpy.typing import NDArray

Range = tuple[float, float]


def simulate(
    *,
    rows: int,
    seed: int,
    drive: Range = (0.5, 3.0),
    detuning: Range = (-2.0, 2.0),
    damping: Range = (0.0, 0.5),
    time: Range = (0.0, 8.0),
) -> dict[str, NDArray[np.float64]]:
    """Draw parameters uniformly and return the population of the excited state, from the ground state.

    Parameters
    ----------
    rows, seed
        How many systems, and where chance starts.
    drive, detuning, damping
        Ranges of the Rabi frequency, of the distance of drive and transition frequency, and of the rate of
        spontaneous emission; angular frequencies in units of one reference rate.
    time
        Range of the time after which the system is looked at, in units of one over the reference rate.

    Returns
    -------
    columns
        ``drive``, ``detuning``, ``damping``, ``time``, ``excited_population`` (0 to 1), each ``(rows,)``.

    Raises
    ------
    ValueError
        If a damping or a time may be negative, for which the equations mean nothing.

    Notes
    -----
    With drive Omega, detuning Delta and damping Gamma the Bloch vector (u, v, w) obeys

        u' =  Delta v             - Gamma / 2 u
        v' = -Delta u + Omega w   - Gamma / 2 v
        w' =          - Omega v   - Gamma (w + 1)

    and the excited population is (1 + w) / 2. The constant term is carried as a fourth component, so that the solution
    is one matrix exponential.

    References
    ----------
    Allen & Eberly (1987), Optical Resonance and Two-Level Atoms, chapter 3.
    """
    ranges = {"drive": drive, "detuning": detuning, "damping": damping, "time": time}
    for name in ("damping", "time"):
        if min(ranges[name]) < 0:
            msg = f"{name} must not be negative; its range is {ranges[name][0]} to {ranges[name][1]}"
            raise ValueError(msg)
    rng = np.random.default_rng(seed)
    columns = {name: rng.uniform(*limits, rows) for name, limits in ranges.items()}
    return columns | {"excited_population": excited_population(**columns)}


def excited_population(
    drive: NDArray[np.float64],
    detuning: NDArray[np.float64],
    damping: NDArray[np.float64],
    time: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return the excited population of systems ``(n,)`` after their time, from the ground state."""
    from scipy.linalg import expm

    generator = np.zeros((len(time), 4, 4))
    generator[:, 0, 1] = detuning
    generator[:, 1, 0] = -detuning
    generator[:, 1, 2] = drive
    generator[:, 2, 1] = -drive
    generator[:, 0, 0] = generator[:, 1, 1] = -damping / 2
    generator[:, 2, 2] = generator[:, 2, 3] = -damping
    ground = np.array([0.0, 0.0, -1.0, 1.0])
    inversion = (expm(generator * time[:, None, None]) @ ground)[:, 2]
    # rounding leaves the interval by some 1e-16
    return np.asarray(np.clip((1 + inversion) / 2, 0.0, 1.0))
