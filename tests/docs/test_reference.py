"""docs/checks.md is made from the registries: `python tests/docs/test_reference.py` writes it."""

from pathlib import Path

from langchain_prodtest import checks
from langchain_prodtest.chaos.experiment import read_experiment
from langchain_prodtest.demo.defects import DEFECTS
from langchain_prodtest.measure import METRICS, Metric
from langchain_prodtest.rig.bundled import bundled

PAGE = Path(__file__).parents[2] / "docs" / "checks.md"

HEAD = """# Checks, metrics, experiments and defects

Made from the code by `python tests/docs/test_reference.py`; a test holds it. `*` in the first place of a
metric is the scenario (`chat.success`), in the last a quantile (`chat.ttft.p95`, `chat.e2e.p99.9`).

## How a limit is judged

| kind | passes when | fails when | else |
|---|---|---|---|
| proportion | its lower 95 % Clopper-Pearson bound meets the limit | its upper bound does not | unknown |
| quantile | the share of offered requests within the limit does so, as a proportion | as above | unknown |
| count | 0 observed in at least the minimum n | one observed | unknown |
| ratio, duration | the worst observed is within the limit, of at least the minimum n | one is not | unknown |

Limits are written `"<= 1.5s"`, `"<= 250ms"`, `">= 98%"`, `"== 0"`, `"<= 3"`.

## Metrics
"""


def page() -> str:
    """Return the whole page."""
    parts = [HEAD, *(_metric(metric) for metric in METRICS), "\n## Experiments\n"]
    parts += ["| experiment | what happens | what is expected |", "|---|---|---|"]
    for path in sorted(bundled("chaos").glob("*.toml")):
        experiment = read_experiment(path)
        expected = ", ".join(f"`{limit.metric} {limit.text}`" for limit in experiment.expect)
        parts.append(f"| `{path.stem}` | {experiment.title} | {expected} |")
    parts += ["\n## Planted defects\n"]
    parts += ["| defect | what it is | caught by | in | may also fail |", "|---|---|---|---|---|"]
    for defect in DEFECTS:
        also = "; ".join(f"`{name}`: {why}" for name, why in defect.may_also.items())
        caught = ", ".join(f"`{name}`" for name in defect.caught_by)
        parts.append(f"| `{defect.name}` | {defect.says} | {caught} | {defect.experiment} | {also} |")
    return "\n".join(parts) + "\n"


def _metric(metric: Metric) -> str:
    needs = f" Needs {checks.needs(metric.pattern)}." if metric.pattern in checks.CHECKS else ""
    least = f" Minimum n: {metric.minimum_n}." if metric.kind not in ("proportion", "quantile") else ""
    says = metric.says[0].upper() + metric.says[1:]
    return f"""### {metric.pattern}

{says}. A {metric.kind}.{least}{needs}

When it fails: {metric.remedy}
"""


def test_the_reference_is_current() -> None:
    assert PAGE.read_text("utf-8") == page(), "run python tests/docs/test_reference.py"


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
