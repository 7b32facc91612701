import numpy as np
import pytest
from scipy.integrate import solve_ivp

from serpens.simulators.qubit import excited_population, simulate

PARAMETERS = ("drive", "detuning", "damping", "time")


def populations(drive, detuning, damping, time):
    columns = np.broadcast_arrays(
        *(np.atleast_1d(np.asarray(v, dtype=float)) for v in (drive, detuning, damping, time))
    )
    return excited_population(*columns)


def test_without_damping_it_is_rabis_formula():
    made = simulate(rows=200, seed=0, damping=(0.0, 0.0))
    omega, delta, t = made["drive"], made["detuning"], made["time"]
    rabi = np.sqrt(omega**2 + delta**2)
    expected = (omega / rabi) ** 2 * np.sin(rabi * t / 2) ** 2
    np.testing.assert_allclose(made["excited_population"], expected, rtol=0, atol=1e-9)


def test_a_resonant_pi_pulse_inverts_the_population():
    assert populations(2.0, 0.0, 0.0, np.pi / 2) == pytest.approx(1, abs=1e-12)


def test_with_damping_it_solves_the_optical_bloch_equations():
    made = simulate(rows=30, seed=1)
    for row in range(30):
        omega, delta, gamma, t = (made[name][row] for name in PARAMETERS)

        def bloch(_, state, omega=omega, delta=delta, gamma=gamma):
            # the density matrix, not the Bloch vector of the code: excited population and coherence
            excited, coherence = state
            return [
                -gamma * excited - (omega * coherence).imag,
                -(gamma / 2 + 1j * delta) * coherence + 1j * omega * (excited - 0.5),
            ]

        solved = solve_ivp(bloch, (0, t), np.array([0, 0], dtype=complex), rtol=1e-10, atol=1e-12)
        assert made["excited_population"][row] == pytest.approx(solved.y[0, -1].real, abs=1e-6)


def test_after_long_it_is_the_steady_state():
    omega, delta, gamma = np.array([0.5, 1.0, 3.0]), np.array([-2.0, 0.0, 1.5]), np.array([0.5, 0.2, 1.0])
    saturation = omega**2 / 4 / (delta**2 + gamma**2 / 4 + omega**2 / 2)
    np.testing.assert_allclose(populations(omega, delta, gamma, 500.0), saturation, rtol=1e-9)


def test_nothing_happens_without_drive_or_time():
    assert populations(0.0, 1.0, 0.3, 5.0) == pytest.approx(0, abs=1e-12)
    assert populations(2.0, 1.0, 0.3, 0.0) == 0


def test_the_sign_of_the_detuning_does_not_matter():
    np.testing.assert_allclose(populations(1.5, 0.7, 0.2, 3.0), populations(1.5, -0.7, 0.2, 3.0), atol=1e-12)


def test_parameters_fill_their_ranges_and_populations_lie_between_0_and_1():
    ranges = {"drive": (1.0, 2.0), "detuning": (-1.0, 0.0), "damping": (0.1, 0.2), "time": (3.0, 4.0)}
    made = simulate(rows=500, seed=0, **ranges)
    for name, (low, high) in ranges.items():
        assert low <= made[name].min() < low + 0.02
        assert high - 0.02 < made[name].max() <= high
    everywhere = simulate(rows=300, seed=0)["excited_population"]
    assert everywhere.min() >= 0
    assert everywhere.max() <= 1
    assert everywhere.max() - everywhere.min() > 0.9


def test_the_seed_alone_decides():
    first, again, other = (simulate(rows=20, seed=seed) for seed in (4, 4, 5))
    assert all((first[name] == again[name]).all() for name in first)
    assert all((first[name] != other[name]).all() for name in PARAMETERS)


@pytest.mark.parametrize("rows", [1, 7, 300])
def test_as_many_rows_as_asked_for(rows):
    made = simulate(rows=rows, seed=0)
    assert list(made) == [*PARAMETERS, "excited_population"]
    assert {values.shape for values in made.values()} == {(rows,)}


@pytest.mark.parametrize("name", ["damping", "time"])
def test_a_negative_rate_or_time_is_refused(name):
    with pytest.raises(ValueError, match=rf"^{name} must not be negative; its range is -1.0 to 1.0$"):
        simulate(rows=2, seed=0, **{name: (-1.0, 1.0)})
