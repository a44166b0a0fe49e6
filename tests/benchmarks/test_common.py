"""What the benchmarks share: results are kept by all that determines them, and one table printer serves all."""

import json

from benchmarks.common import cache_path, cached, print_table, summary
from multimodal.metrics.personalization import Interval


def test_results_are_made_once_for_each_of_their_settings(tmp_path):
    made = []

    def run(*settings):
        return cached(cache_path(tmp_path / "runs", "ours, a", *settings), lambda: made.append(settings) or [*settings])

    assert [run(0, 1e-3), run(0, 1e-3), run(1, 1e-3), run(0, 1e-2)] == [[0, 1e-3], [0, 1e-3], [1, 1e-3], [0, 1e-2]]
    assert made == [(0, 1e-3), (1, 1e-3), (0, 1e-2)]
    assert all(path.name.startswith("ours-a-") for path in (tmp_path / "runs").iterdir())


def test_a_table_is_markdown_or_one_object(capsys):
    rows = {
        "one | 1": summary([{"score": 0.5}, {"score": 0.7}]) | {"count": 1200},
        "two | 2": {"score": (0.25, None), "over it": Interval(1.0, 0.5, 2.0), "note": "x"},
    }
    print_table("title", rows, as_json=False, head="name | batch", digits=2)
    assert capsys.readouterr().out.strip().splitlines()[2:] == [
        "| name | batch | score | count | over it | note |",
        "|---|---|---|---|---|---|",
        "| one | 1 | 0.60 ± 0.14 | 1,200 |  |  |",
        "| two | 2 | 0.25 |  | 1.00 (0.50 to 2.00) | x |",
    ]
    print_table("title", rows, as_json=True)
    assert json.loads(capsys.readouterr().out)["rows"]["two | 2"]["over it"] == [1.0, 0.5, 2.0]
