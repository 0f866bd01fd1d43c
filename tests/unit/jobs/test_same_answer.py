"""Same artifact, same questions, same answers: in another process, with other hash seeds, in another order."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from kgrecall.jobs.build_report import BuildReport

CODE = """
import json, sys
from kgrecall.jobs.serve import load_engine
from kgrecall.types import Query

engine = load_engine(sys.argv[1])
questions = json.loads(sys.argv[2])
order = range(len(questions)) if sys.argv[3] == "forth" else reversed(range(len(questions)))
answers = {i: engine.recall(Query.of(questions[i])) for i in order}
print(json.dumps([[list(answers[i].item_ids), answers[i].scores.tolist(), list(answers[i].notes)] for i in sorted(answers)]))
"""
QUESTIONS = [
    {"user_id": "u005", "k": 30},
    {"history": ["i001", "i002", "i001"], "exclude": ["i003", "i004", "i005"], "k": 90},
    {"text": "waterproof tent", "friends": ["u001", "u002", "u009"], "filter": "MADE_BY any ['Norra', 'Velden', 'Cairn']"},
    {"attributes": {"country": "NO", "birth_year": 1980}, "context": {"hour": 9, "weekday": 2}},
    {"item_id": "i007", "user_id": "u011", "plan": {"guarantees": [{"name": "x", "explore": True, "places": 4}]}, "k": 12},
]


def test_processes_agree_to_the_last_bit(shop_build: BuildReport) -> None:
    printed = []
    for seed, order in (("1", "forth"), ("2", "back")):
        command = [sys.executable, "-c", CODE, str(shop_build.out), json.dumps(QUESTIONS), order]
        env = {**os.environ, "PYTHONHASHSEED": seed}
        printed.append(subprocess.run(command, check=True, capture_output=True, text=True, env=env).stdout)
    assert printed[0] == printed[1]
    assert len(json.loads(printed[0])) == len(QUESTIONS)
