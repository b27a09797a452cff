"""Fixtures of the integration tests. One PostgreSQL for all, a fresh database for each test."""
import itertools
import os
import signal
import sys

import pytest

sys.path.insert(0, os.path.dirname(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "contract"))

import harness  # noqa: E402
try:
    import recorder  # noqa: E402
except ImportError:
    recorder = None

NUMBER = itertools.count(1)
LIMIT_S = int(20 * harness.TIMEOUT)  # of one test; none needs a tenth of it


def pytest_configure(config):
    """What runs in the background of a shell ignores these signals, and so would all that it starts: handlers it would not keep."""
    for name in (signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(name) == signal.SIG_IGN:
            signal.signal(name, lambda *_: None)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item):
    """A test that hangs fails where it stands."""
    def expired(_signal, _frame):
        raise AssertionError(f"{item.name} took more than {LIMIT_S} s")
    harness.LOGS.clear()
    before = signal.signal(signal.SIGALRM, expired)
    signal.alarm(LIMIT_S)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failure shows the ends of the logs: elsewhere they are gone when somebody asks for them."""
    outcome = yield
    report = outcome.get_result()
    if report.failed and hasattr(report.longrepr, "addsection"):
        for title, text in harness.log_tails():
            report.longrepr.addsection(title, text)
        pg = getattr(item, "funcargs", {}).get("postgres")
        if pg is not None:
            report.longrepr.addsection("PostgreSQL", pg.tail())


@pytest.fixture(scope="session")
def postgres():
    pg = harness.Postgres()
    yield pg
    pg.close()


@pytest.fixture
def database(postgres):
    """Name of a fresh, empty database."""
    name = f"t{os.getpid()}_{next(NUMBER)}"
    postgres.create(name)
    yield name
    if postgres.proc.poll() is not None:
        postgres.start()
    postgres.drop(name)


@pytest.fixture
def rows(postgres, database):
    """rows("SELECT ...") in the test's database."""
    def query(sql, *args):
        with postgres.connect(database) as c:
            return c.execute(sql, args).fetchall()
    return query


@pytest.fixture
def sim(tmp_path):
    """sim("--rooms", "5", ...) starts a simulated upstream."""
    started = []

    def start(*args):
        s = harness.Sim(str(tmp_path), *args)
        started.append(s)
        return s

    yield start
    for s in started:
        s.stop()


@pytest.fixture
def danmakud(postgres, database, tmp_path):
    """danmakud("--rooms", "1,2", ...) starts the program on the test's database; traffic is recorded."""
    started = []

    def start(*args, record=True, **env):
        d = harness.Danmakud(str(tmp_path), postgres.url(database), *args,
                             recorder=recorder.Recorder if record and recorder else None, **env)
        started.append(d)
        return d

    yield start
    if postgres.proc.poll() is not None:
        postgres.start()
    for d in started:
        if d.running():
            d.stop()
    for d in started:
        text = d.log_text()
        assert "ERROR: AddressSanitizer" not in text and "runtime error:" not in text and "LeakSanitizer" not in text, text
        assert "assertion failed" not in text, text
