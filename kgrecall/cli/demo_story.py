"""What the demo shows after the engine is built: the comparison, four kinds of question, and the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path as FilePath

import numpy as np

from kgrecall.cli.console import out, print_table
from kgrecall.evaluate.measures import NDCG, Recall
from kgrecall.graph.snapshot import GraphSnapshot
from kgrecall.jobs.artifact import Artifact
from kgrecall.jobs.build_report import BuildReport
from kgrecall.jobs.trial import FUSED, POPULARITY, TUNED, Trial
from kgrecall.report.figures import channel_overlap, draw_graph, explanation_graph, metric_by_k, training_curve
from kgrecall.report.page import Section, TableBlock, write_page
from kgrecall.types import Candidates, Path, Query

_BARS = "▁▂▃▄▅▆▇█"
_SHOWN = 10


@dataclass(frozen=True)
class Answers:
    """The questions that the demo asked, and what came back."""

    user_id: str
    history: Sequence[str]
    for_user: Candidates
    chosen_later: frozenset[str]
    reasons: Sequence[tuple[str, Sequence[Path]]]
    text: str
    for_text: Candidates
    cold_history: Sequence[str]
    for_cold: Candidates


def show_graph(snapshot: GraphSnapshot) -> None:
    """Size of the graph by relation."""
    sizes: dict[tuple[str, str], int] = {}
    for edge_type, edges in snapshot.relations.items():
        key = (edge_type[1], snapshot.role(edge_type))
        sizes[key] = sizes.get(key, 0) + edges.num_edges
    ordered = sorted(sizes.items(), key=lambda entry: -entry[1])
    print_table("", ["relation", "role", "edges"], [[name, role, count] for (name, role), count in ordered])


def show_build(report: BuildReport) -> None:
    """One line per stage of the build."""
    seconds = report.seconds
    if report.texts_encoded:
        rate = report.texts_encoded / seconds["encode"]
        out.print(f"[bold]encode[/bold]       {report.texts_encoded:,} texts, {rate:,.0f}/s")
    else:
        out.print(f"[bold]encode[/bold]       {report.texts_cached:,} texts from the cache")
    losses = sparkline([-record.loss for record in report.curve])
    recalls = sparkline([record.valid_recall or 0.0 for record in report.curve])
    out.print(
        f"[bold]train[/bold]        {len(report.curve)} epochs, loss falls {losses}, validation recall {recalls}, "
        f"final fit {report.epochs} epochs; {seconds.get('train', 0):.1f} s in all"
    )
    files = Artifact(report.out, verify=False).manifest["files"]
    indexes = sum(facts["bytes"] for name, facts in files.items() if ".index" in name)
    whole = sum(facts["bytes"] for facts in files.values())
    out.print(f"[bold]index[/bold]        {indexes / 2**20:.1f} MB of vectors, artifact {whole / 2**20:.1f} MB: {report.out}")
    weights = ", ".join(f"{name} {weight:.2g}" for name, weight in report.weights.items() if weight > 0)
    out.print(f"[bold]fusion[/bold]       by {report.fusion}, weights chosen on validation: {weights}\n")


def sparkline(values: Sequence[float]) -> str:
    """One character per value, higher is higher."""
    if not values:
        return ""
    low, span = min(values), (max(values) - min(values)) or 1.0
    return "".join(_BARS[round((value - low) / span * (len(_BARS) - 1))] for value in values)


def show_comparison(trial: Trial) -> None:
    """All systems at 10, 20 and 50, and how sure the difference is."""
    comparison = trial.warm
    kinds = list(dict.fromkeys(type(measure).__name__ for measure in comparison.measures))
    for k in sorted({int(str(measure).rpartition("@")[2]) for measure in comparison.measures}):
        columns = [f"{kind}@{k}" for kind in kinds]
        best = {i + 1: max(e[name] for e in comparison.evaluations.values()) for i, name in enumerate(columns)}
        rows = [[system, *(e[name] for name in columns)] for system, e in comparison.evaluations.items()]
        print_table(f"k = {k}", ["system", *kinds], rows, best=best)
        out.print()
    users = comparison[FUSED].num_users
    out.print(f"The {users} users of the last tenth of time who have a history. Paired bootstrap over them:")
    for baseline in (POPULARITY, TUNED):
        for measure in (Recall(20), NDCG(20)):
            gain = comparison.difference(FUSED, baseline, measure, seed=0)
            out.print(f"  {FUSED} - {baseline}, {measure}: {gain}", markup=False)
    everyone = trial.everyone
    values = {name: everyone[name][Recall(20)] for name in (FUSED, POPULARITY)}
    out.print(
        f"All {everyone[FUSED].num_users} users, newcomers without any history included: Recall@20 {values[FUSED]:.4f} "
        f"against {values[POPULARITY]:.4f} by popularity.\n"
    )


def ask(trial: Trial, snapshot: GraphSnapshot, *, text: str, cold_history: Sequence[str]) -> Answers:
    """A known user, the reasons for its first three candidates, a free text, and a visitor nobody has seen."""
    engine = trial.engine
    user = int(np.intersect1d(trial.truth.user_pos, trial.split.train.user_pos)[0])
    user_id = snapshot.users.ids_at([user])[0]
    for_user = engine.recall(Query(user_id=user_id, k=_SHOWN))
    reasons = [
        (candidate.title or candidate.item_id, engine.explain(Query(user_id=user_id), candidate.item_id, limit=3))
        for candidate in for_user[:3]
    ]
    titles = snapshot.titles(snapshot.schema.item_label)
    newest = engine.histories.row(user)[0][-5:]
    chosen_later = snapshot.items.ids_at(trial.truth.item_pos[trial.truth.user_pos == user])
    return Answers(
        user_id=user_id,
        history=[titles[item] or "?" for item in newest],
        for_user=for_user,
        chosen_later=frozenset(chosen_later),
        reasons=reasons,
        text=text,
        for_text=engine.recall(Query(text=text, k=_SHOWN)),
        cold_history=[titles[snapshot.items.position(item_id)] or item_id for item_id in cold_history],
        for_cold=engine.recall(Query(history=cold_history, k=_SHOWN)),
    )


def show_answers(answers: Answers) -> None:
    """The questions and answers on the console."""
    columns, rows = _user_table(answers)
    print_table(f"User {answers.user_id}, who last chose {', '.join(answers.history)}", columns, rows)
    out.print("\n[bold]Why these?[/bold]")
    for title, paths in answers.reasons:
        for path in paths:
            out.print(f"  {title}: {path.sentence}  [{path.channel}, {path.weight:.0%}]", markup=False)
    for question, found in _others(answers):
        out.print(f"\n[bold]{question}[/bold]")
        out.print("  " + ", ".join(str(c.title) for c in found), markup=False)


def write_report_page(path: FilePath, trial: Trial, snapshot: GraphSnapshot, answers: Answers) -> FilePath:
    """One self-contained HTML page with the tables and pictures."""
    comparison, report = trial.warm, trial.report
    curves = {s: {m.k: v for m, v in e.values.items() if isinstance(m, Recall)} for s, e in comparison.evaluations.items()}
    strongest = [paths[0] for _, paths in answers.reasons if paths]
    reasons = list(answers.reasons[0][1]) if answers.reasons and answers.reasons[0][1] else strongest
    columns, rows = _user_table(answers)
    sections = [
        Section("The graph", [_graph_table(snapshot)]),
        Section(
            "How good is it?",
            [
                f"The last tenth of time was held out; {comparison[FUSED].num_users} of its users have a history. The whole "
                "catalogue is ranked for each, without sampled negatives.",
                metric_by_k(curves, "Recall", emphasise=FUSED),
                TableBlock(["system", *map(str, comparison.measures)], [list(row.values()) for row in comparison.rows()]),
            ],
        ),
        Section(
            "Training",
            [
                training_curve(
                    [r.loss for r in report.curve], [r.valid_recall or 0.0 for r in report.curve], measure="Recall@20"
                )
            ],
        ),
        Section(
            "What the channels share",
            [
                "Share of the row channel's first 50 candidates that the column channel also found.",
                channel_overlap(trial.engine.channel_names, trial.overlap),
            ],
        ),
        Section(f"User {answers.user_id}", [f"Last chose {', '.join(answers.history)}.", TableBlock(columns, rows)]),
        Section(
            f"Why {answers.for_user[0].title}?",
            [*(f"{path.sentence} ({path.channel})" for path in reasons), draw_graph(explanation_graph(reasons))],
        ),
        *(Section(question, [", ".join(str(c.title) for c in found)]) for question, found in _others(answers)),
    ]
    return write_page(path, "kgrecall on MovieLens-100k", [s for s in sections if s.blocks])


def _others(answers: Answers) -> list[tuple[str, Candidates]]:
    """The questions that are answered with a plain list."""
    return [
        (f"Text: {answers.text}", answers.for_text),
        (f"A visitor nobody has seen, who just chose {', '.join(answers.cold_history)}", answers.for_cold),
    ]


def _user_table(answers: Answers) -> tuple[list[str], list[list[object]]]:
    names = [name for name in answers.for_user.channel_scores if any(name in c.channels for c in answers.for_user)]
    rows: list[list[object]] = [
        [c.rank, c.title, c.score, *(c.channels.get(n, "") for n in names), "yes" if c.item_id in answers.chosen_later else ""]
        for c in answers.for_user
    ]
    return ["rank", "title", "score", *names, "chosen later"], rows


def _graph_table(snapshot: GraphSnapshot) -> TableBlock:
    rows = [[" ".join(edge_type), snapshot.role(edge_type), e.num_edges] for edge_type, e in snapshot.relations.items()]
    return TableBlock(["from, relation, to", "role", "edges"], sorted(rows, key=lambda row: -int(str(row[2]))))
