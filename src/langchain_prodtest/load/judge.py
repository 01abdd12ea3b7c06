"""From the samples of a run to findings, evidence and an exit code."""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from langchain_prodtest.evidence import Evidence, Run
from langchain_prodtest.limit import Finding, Limit, judge
from langchain_prodtest.load.options import Plan
from langchain_prodtest.load.proof import PHASE, proven
from langchain_prodtest.measure import Sample, find_metric, measure_samples, needed_n, now
from langchain_prodtest.outcome import Outcome

__all__ = [
    "VERDICTS",
    "Books",
    "check_books",
    "exit_code",
    "judge_run",
    "read_samples",
    "scenario_of",
    "too_few",
    "write_evidence",
]

VERDICTS = {0: "pass", 1: "FAIL", 3: "unknown"}
GENERATOR = "load.generator_valid"
LAG_FLOOR = 0.010  # seconds
LAG_SHARE = 0.10  # of the tightest latency limit
CENSORED_SHARE = 0.01


class Books(msgspec.Struct, frozen=True, kw_only=True):
    """What the generator counted: arrivals planned and offered, and how late each was sent (seconds)."""

    planned: int
    offered: int
    lags: Sequence[float]


def read_samples(path: Path) -> list[Sample]:
    """Return the samples of an NDJSON file."""
    return msgspec.json.Decoder(Sample).decode_lines(path.read_bytes())


def too_few(plan: Plan) -> list[str]:
    """Return one sentence for each SLO that cannot pass with the planned number of arrivals."""
    needs = {limit.metric: needed_n(limit.metric, limit.value, limit.confidence) for limit in _own(plan)}
    return [
        f"{metric} stays unknown with {plan.count} arrivals, it needs {need}: --prodtest-count {need}"
        for metric, need in needs.items()
        if plan.count < need
    ]


def judge_run(plan: Plan, samples: Sequence[Sample], books: Books) -> list[Finding]:
    """Return one finding for each SLO, and one for the generator; nothing passes if that one does not."""
    generator = check_books(books, samples, _tightest(plan))
    findings = [_judge(limit, samples) for limit in plan.config.slo]
    if generator.outcome != "pass":
        reason = f"measured by a generator that was not valid: {generator.detail}"
        findings = [_doubt(finding, reason) for finding in findings]
    return [*findings, generator]


def check_books(books: Books, samples: Sequence[Sample], tightest: float) -> Finding:
    """Tell whether the run can be trusted: all was offered, nothing was lost, it was sent on time, and
    answers that were planted wrong were reported so.

    `tightest` is the shortest latency limit in seconds; sending may lag a tenth of it, or 10 ms.
    """
    planted = [sample for sample in samples if sample.phase == PHASE]
    samples = [sample for sample in samples if sample.phase != PHASE]
    allowed = max(LAG_FLOOR, LAG_SHARE * tightest)
    lags = sorted(books.lags)
    lag = lags[min(len(lags) - 1, int(0.99 * len(lags)))] if lags else 0.0
    recorded = len({sample.nonce for sample in samples})
    censored = sum(sample.outcome is Outcome.CENSORED for sample in samples)
    wrong = []
    if books.offered < books.planned:
        wrong.append(f"{books.offered} of {books.planned} arrivals were offered")
    if not recorded == len(samples) == books.offered:
        wrong.append(f"{books.offered} arrivals were offered, {recorded} are accounted for")
    if censored > CENSORED_SHARE * len(samples):
        wrong.append(f"{censored} of {len(samples)} were still open at the end")
    if not any(sample.sent is not None for sample in samples):
        wrong.append("no request was sent")
    if lag > allowed:
        wrong.append(f"send lag p99 is {lag * 1e3:.0f} ms, at most {allowed * 1e3:.0f} ms allowed")
    if doubt := proven(planted):
        wrong.append(doubt)
    if wrong:
        remedy = "Repeat it on a less busy machine or at a lower rate, and let it run to its end."
        return Finding(check=GENERATOR, outcome="unknown", detail="; ".join(wrong), remedy=remedy)
    detail = f"{books.offered} offered, all accounted for; send lag p99 {lag * 1e3:.1f} ms"
    return Finding(check=GENERATOR, outcome="pass", detail=detail)


def exit_code(findings: Sequence[Finding], complete: bool) -> int:
    """Return 0 if a complete run passed everything, 1 if it failed something, else 3."""
    outcomes = {finding.outcome for finding in findings}
    if not complete or not findings:
        return 3
    return 1 if "fail" in outcomes else 0 if outcomes <= {"pass", "not_applicable"} else 3


def write_evidence(
    run: Run, plan: Plan, samples: Sequence[Sample], findings: list[Finding], complete: bool, tool: str
) -> Evidence:
    """Write evidence and samples into the run folder and return the evidence."""
    times = [t for s in samples for t in (s.intended, s.ended) if t is not None]
    evidence = Evidence(
        kind="load",
        name=plan.scenario,
        subject=plan.config.subject,
        started=min(times, default=now()),
        finished=max(times, default=now()),
        complete=complete,
        findings=findings,
        series=[run.write_series(f"samples-{plan.scenario}", samples)],
        tool=tool,
    )
    run.write(evidence)
    return evidence


def _own(plan: Plan) -> list[Limit]:
    """Return the limits that samples of this scenario can be judged by."""
    return [limit for limit in plan.config.slo if scenario_of(limit.metric) == plan.scenario]


def scenario_of(metric: str) -> str:
    """Return "chat" for `chat.success` and `chat@spike.success`, "" for what samples do not tell."""
    about_samples = find_metric(metric).pattern.startswith("*.")
    return metric.split(".")[0].partition("@")[0] if about_samples else ""


def _judge(limit: Limit, samples: Sequence[Sample]) -> Finding:
    if not scenario_of(limit.metric):
        return judge(limit, None, "a load run does not measure this; give it under [expect] of an experiment")
    measured = measure_samples(samples, limit.metric, limit.value, limit.confidence)
    return judge(limit, measured, f"no request of scenario {limit.metric.split('.')[0]} was offered")


def _tightest(plan: Plan) -> float:
    clocks = [limit.value for limit in _own(plan) if limit.metric.split(".")[1] in ("ttft", "e2e")]
    return min([*clocks, plan.patience])


def _doubt(finding: Finding, reason: str) -> Finding:
    if finding.outcome != "pass":
        return finding
    return msgspec.structs.replace(finding, outcome="unknown", detail=reason, remedy="")
