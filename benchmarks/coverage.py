"""How often intervals cover and tests raise false alarms, in a thousand studies whose truth is known.

``PYTHONPATH=.:workflow python -m benchmarks.coverage`` prints the table of ``docs/statistics.md``; ten minutes.
"""

import sys

from tests.unit import test_intervals, test_statistics

from serpens import intervals


def main(n_studies: int) -> None:
    """Print shares of studies."""
    print("| study | its interval covers, % |\n|---|---|")
    for name, scenario in test_intervals.SCENARIOS.items():
        found = test_intervals.coverage(scenario, n_studies, intervals.N_RESAMPLES)
        covered = ", ".join(f"{metric} {100 * share:.1f}" for metric, share in found.items())
        print(f"| {name}: {len(scenario.units.of_row)} rows | {covered} |", flush=True)
    alarms = test_statistics.false_alarms(n_studies)
    told = ", ".join(f"{name} {100 * share:.1f}" for name, share in alarms.items())
    print(f"\nFalse alarms of the paired test, at 5 %: {told}.")
    families = test_statistics.families_with_an_alarm(n_studies)
    print(f"Families of six comparisons with one, corrected: {100 * families:.1f} %.")
    print(f"The detectable difference is found in {100 * test_statistics.power(n_studies):.1f} % (said: 80).")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else test_intervals.MANY)
