"""tests/soak/run in small: rooms through the web side and wss, while much goes wrong."""
import os
import sys

import pytest

ROOT = os.path.join(os.path.dirname(__file__), "..")
for directory in ("soak", "faults", "sim"):
    sys.path.insert(0, os.path.join(ROOT, directory))

import soak  # noqa: E402


@pytest.mark.parametrize("seed", [3])
def test_nothing_is_lost_and_every_gap_is_declared(postgres, database, tmp_path, seed):
    s = soak.Soak(postgres, str(tmp_path), database, rooms=20, rate=100, seed=seed)
    try:
        s.connect()
        s.play(12)
        s.settle()
        assert s.problems() == []
        assert s.n["events delivered"] > 300 and s.n["gaps declared"] > 20 and s.n["logins refused"] > 0
        assert s.stats["auth_mismatch"] == s.stats["auth_other_buvid"] == s.stats["bad_packets"] == 0
    finally:
        s.close()
