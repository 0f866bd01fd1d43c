"""What the gate finds is recorded arm by arm and relation by relation."""

import numpy as np

from kgrecall.evaluate import paired_bootstrap
from kgrecall.jobs.gate_report import GateReport, RelationWorth, Worth
from kgrecall.jobs.gate_split import NEW, WARM
from tests.benchmarks.quality.gate import record_report
from tests.benchmarks.record import Cost, read_figures


class ToyTask:
    name = "toy"


def test_every_arm_and_every_relation_is_recorded(monkeypatch, tmp_path):
    monkeypatch.setenv("KGRECALL_BENCH_RESULTS", str(tmp_path / "figures.jsonl"))
    nothing, real = np.zeros(50), np.linspace(0.2, 0.4, 50)
    worths = tuple(Worth.of(question, nothing, real, [nothing, nothing], seed=0) for question in (WARM, NEW))
    gain = {WARM: paired_bootstrap(real, nothing, seed=0), NEW: paired_bootstrap(nothing, nothing, seed=0)}
    report = GateReport("Recall@20", "quick (closed forms)", worths, (), (), (RelationWorth("MADE_BY", 7, gain, gain),), {})
    record_report(ToyTask(), report, Cost(1.0, 2.0, 3.0), 0, [])
    figures = {(figure.system, figure.metric): figure for figure in read_figures()}
    assert figures["real graph (quick)", "Recall@20, warm users"].value == 0.3
    assert figures["real graph (quick)", "Recall@20, new items"].config["proven"] is True
    assert figures["no graph (quick)", "Recall@20, warm users"].value == 0
    assert figures["shuffled graph (quick)", "Recall@20, warm users"].config["each"] == [0, 0]
    relation = figures["MADE_BY", "alone: Recall@20, warm users"]
    assert (relation.benchmark, relation.config["verdict"], relation.config["edges"]) == ("gate_relations", "carries", 7)
    assert len(figures) == 10
