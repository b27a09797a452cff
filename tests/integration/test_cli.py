"""The command line and the configuration, as an operator meets them."""
import os
import re
import subprocess

import harness
from harness import wait_for

ROOT = os.path.join(os.path.dirname(__file__), "..", "..")


def cli(*args, **env):
    full = {k: v for k, v in os.environ.items() if not k.startswith("DANMAKUD_")}
    full.update(env)
    return subprocess.run([harness.DANMAKUD, *args], capture_output=True, text=True, env=full, timeout=harness.TIMEOUT)


def test_help_lists_commands_and_options():
    r = cli("help")
    assert r.returncode == 0
    for word in ("run", "migrate", "check-config", "token", "--database-url", "--rooms", "Exit codes"):
        assert word in r.stdout, word
    assert cli("--help").stdout == r.stdout
    assert cli("-h").stdout == r.stdout


def commands():
    with open(os.path.join(ROOT, "server/app/commands.def"), encoding="utf-8") as f:
        text = f.read()
    items = {}
    for name, word in re.findall(r'^ITEM\((\w+), "([^"]+)"', text, re.M):
        items.setdefault(name.lower().replace("_", "-"), []).append(word)
    return {name: items.get(name, []) for name in re.findall(r'^COMMAND\(\w+, "([^"]+)"', text, re.M)}


def test_every_command_has_its_own_help():
    known = commands()
    assert {"run", "token", "decode", "reparse", "docs"} <= set(known)
    for command, words in known.items():
        r = cli(command, "--help")
        assert (r.returncode, r.stderr) == (0, "") and r.stdout.startswith(f"usage: danmakud {command}"), r
        assert cli("help", command).stdout == r.stdout == cli("--help", command).stdout == cli(command, "stray", "-h").stdout
        for word in words:
            assert re.search(rf"^  {word}\b", r.stdout, re.M), (command, word)
    with open(os.path.join(ROOT, "api/scope.def"), encoding="utf-8") as f:
        for scope, text in re.findall(r'^X.*"([\w:]+)", "([^"]+)"\)', f.read(), re.M):
            assert re.search(rf"^  {scope} +{text[:30]}", cli("token", "--help").stdout, re.M), scope


def test_what_was_meant_is_asked():
    for args, hint in ((["toekn", "add"], "unknown command toekn; did you mean token?"), (["help", "decod"], "did you mean decode?"),
                       (["token", "add", "x", "--scope=read"], "unknown option --scope; did you mean --scopes?"),
                       (["reparse", "--dry"], "--dry;"), (["decode", "--rom", "3", "-"], "did you mean --room?"),
                       (["run", "--romms", "1"], "did you mean --rooms?"), (["--verison"], "did you mean --version?"), (["toekn", "--help"], "did you mean token?")):
        r = cli(*args)
        assert r.returncode == 2 and hint in r.stderr, (args, r.stderr)
    for args in (["token"], ["token", "add"], ["decode"], ["docs"], ["reparse", "stray"]):
        r = cli(*args, "--database-url", "postgresql://127.0.0.1:1/x")
        assert r.returncode == 2 and f"usage: danmakud {args[0]}" in r.stderr, (args, r.stderr)


def test_commands_of_a_service_make_no_database(tmp_path):
    """They say where they looked and what to pass; a directory that is not there stays so."""
    elsewhere = tmp_path / "elsewhere"
    for args in (["token", "add", "x"], ["token", "list"], ["reparse"]):
        r = cli(*args, "--data-dir", str(elsewhere))
        assert r.returncode == 1 and f"no private PostgreSQL in {elsewhere} (data_dir)" in r.stderr, r.stderr
        assert "--data-dir" in r.stderr and "--database-url" in r.stderr and "danmakud migrate" in r.stderr
        assert not elsewhere.exists()
    home = "/var/lib/danmakud" if os.geteuid() == 0 else f"{tmp_path}/.local/share/danmakud"
    if not os.path.exists(f"{home}/postgres"):
        r = cli("token", "list", HOME=str(tmp_path), XDG_DATA_HOME="")
        assert r.returncode == 1 and f"in {home} (the data directory if none is given)" in r.stderr, r.stderr


def test_commands_do_not_wait_for_a_database_that_is_away():
    """Once it has not answered, they say what to check; only run waits."""
    for args in (["token", "add", "x"], ["token", "list"], ["token", "revoke", "x"], ["reparse"], ["migrate"]):
        r = cli(*args, "--database-url", "postgresql://127.0.0.1:1/x")
        assert r.returncode == 1 and r.stderr.count("does not answer") == 1, (args, r.stderr)
        assert "check database_url and that it runs" in r.stderr and "trying again" not in r.stderr, (args, r.stderr)


def test_version_names_the_libraries():
    r = cli("version")
    assert r.returncode == 0
    assert re.match(r"danmakud \d+\.\d+\.\d+\n", r.stdout)
    assert "libmicrohttpd" in r.stdout


def test_usage_errors_exit_2_all_at_once():
    r = cli("run", "--nonsense", "1", "--query-timeout", "soon", "--rooms", "12,abc", DANMAKUD_MAX_ROOMS="-1")
    assert r.returncode == 2
    for word in ("--nonsense", "--query-timeout", "DANMAKUD_MAX_ROOMS"):
        assert word in r.stderr, r.stderr
    assert cli("fly").returncode == 2
    for args in ([""], ["--", ""], ["", "--help"], ["help", ""]):
        r = cli(*args)
        assert r.returncode == 2 and 'unknown command ""; danmakud help lists them' in r.stderr, (args, r)
    assert cli("run", "stray").returncode == 2


def test_every_problem_of_the_file_is_told_with_its_line(tmp_path):
    ini = tmp_path / "danmakud.ini"
    ini.write_text("rooms = 1,2\nmax_rooms = many\nrigns = 3\nlisten = nowhere\n")
    r = cli("check-config", "--config", str(ini))
    assert r.returncode == 2
    assert "danmakud.ini:2" in r.stderr and "max_rooms" in r.stderr
    assert "danmakud.ini:3" in r.stderr and "rigns" in r.stderr


def test_what_cannot_be_read_hides_nothing_else(tmp_path):
    """A file with a bad number, a flag that does not exist, and rooms, address and host that make no sense: all of it."""
    ini = tmp_path / "danmakud.ini"
    ini.write_text("batch_rows = many\nrooms = 12,\n  abc\ntransport = udp\n")
    r = cli("check-config", "--config", str(ini), "--romms", "7", "--listen", "nowhere",
            DANMAKUD_UPSTREAM_HOSTS="host-without-port")
    assert r.returncode == 2
    for word in (":1: batch_rows", ":3: rooms: abc", ":4: transport", "--romms; did you mean --rooms?", "--listen: nowhere",
                 "DANMAKUD_UPSTREAM_HOSTS: "):
        assert word in r.stderr, (word, r.stderr)
    assert len(r.stderr.splitlines()) == 6, r.stderr
    lines = [int(n) for n in re.findall(r"danmakud.ini:(\d+):", r.stderr)]
    assert lines == sorted(lines) == [1, 3, 4], r.stderr


def test_check_config_knows_what_cannot_work():
    r = cli("check-config", "--heartbeat-interval", "30s", "--heartbeat-timeout", "30s", "--upstream-url", "ftp://x")
    assert r.returncode == 2
    assert "--heartbeat-timeout: no longer than heartbeat_interval" in r.stderr and "--upstream-url: " in r.stderr
    assert "empty" not in r.stderr
    r = cli("check-config", "--cookie-file", "/nonexistent/cookies")
    assert r.returncode == 0 and "cannot be read" in r.stdout


def test_check_config_knows_connection_strings(tmp_path):
    """As a start would; the text itself, which may hold a password, is not shown."""
    said = "not a connection string: write postgresql://user@host/database or host=... dbname=..."
    ini = tmp_path / "danmakud.ini"
    ini.write_text("database_url = host=/x\ndatabase_url = notaconninfo\n")
    for command in ("check-config", "run"):
        r = cli(command, "--config", str(ini))
        assert r.returncode == 2 and f":2: database_url: {said}\n" in r.stderr and "set twice" in r.stderr, (command, r.stderr)
        r = cli(command, "--database-url", "notaconninfo")
        assert (r.returncode, r.stderr) == (2, f"--database-url: {said}\n"), (command, r)
    secret = tmp_path / "secret"
    secret.write_text("notaconninfo\n")
    r = cli("check-config", "--database-url-file", str(secret))
    assert r.returncode == 2 and said in r.stderr and "notaconninfo" not in r.stderr, r.stderr


def test_check_config_tells_what_a_public_address_needs():
    r = cli("check-config", "--listen", "0.0.0.0:8080")
    assert r.returncode == 0 and "token add" in r.stdout
    assert "note" not in cli("check-config", "--listen", "0.0.0.0:8080", "--allow-public").stdout


def test_check_config_knows_rooms_and_addresses():
    r = cli("check-config", "--rooms", "12,abc", "--listen", "nowhere", "--upstream-hosts", "host-without-port")
    assert r.returncode == 2
    for word in ("abc", "nowhere", "host-without-port"):
        assert word in r.stderr, r.stderr
    good = cli("check-config", "--rooms", "12", "--upstream-hosts", "127.0.0.1:2243")
    assert (good.returncode, good.stdout) == (0, "configuration ok\n"), good.stderr


def test_print_config_hides_secrets():
    r = cli("print-config", "--database-url", "postgresql://u:geheim@h/d", "--max-rooms", "7")
    assert r.returncode == 0
    assert "geheim" not in r.stdout
    assert "max_rooms = 7 ; --max-rooms\n" in r.stdout and "database_url = *** ; --database-url\n" in r.stdout


def test_print_config_tells_what_is_in_force_and_why(tmp_path):
    ini = tmp_path / "danmakud.ini"
    ini.write_text("# mine\nmax_rooms = 5\nnode = 3\n")
    r = cli("print-config", "--config", str(ini), "--node", "4", HOME="/home/me", XDG_DATA_HOME="", DANMAKUD_LOG_LEVEL="warn")
    home = "/var/lib/danmakud" if os.geteuid() == 0 else "/home/me/.local/share/danmakud"
    for line in (f"data_dir = {home} ; default", f"max_rooms = 5 ; {ini}:2", "node = 4 ; --node", "log_level = warn ; DANMAKUD_LOG_LEVEL",
                 "query_timeout = 10s ; default"):
        assert f"{line}\n" in r.stdout, (line, r.stdout)
    again = tmp_path / "printed.ini"
    again.write_text(r.stdout)
    assert cli("check-config", "--config", str(again)).returncode == 0


def test_generated_docs_are_in_step():
    for what, path in (("configuration", "docs/configuration.md"), ("example", "docs/danmakud.ini.example")):
        with open(os.path.join(ROOT, path), encoding="utf-8") as f:
            assert cli("docs", what).stdout == f.read(), f"danmakud docs {what} > {path}"


def test_man_page_tells_every_command_and_option():
    man = cli("docs", "man").stdout
    page = subprocess.run(["man", "--warnings", "-l", "-"], input=man, capture_output=True, text=True, timeout=harness.TIMEOUT,
                          env={**os.environ, "MANWIDTH": "100", "LC_ALL": "C.UTF-8"})
    assert (page.returncode, page.stderr) == (0, ""), page.stderr
    for word in re.findall(r"^  ((?:--)?[a-z][a-z-]+)\b", cli("help").stdout, re.M):
        assert re.search(rf"^\s+{word}\b", page.stdout, re.M), word


def test_install_keeps_what_the_operator_wrote(tmp_path):
    """cmake --install: program, manual page, unit, and a configuration that is the operator's from then on."""
    install = ["cmake", "--install", harness.BUILD, "--prefix", "/usr/local"]
    env = {**os.environ, "DESTDIR": str(tmp_path)}
    subprocess.run(install, check=True, env=env, capture_output=True, timeout=harness.TIMEOUT)
    ini = tmp_path / "usr/local/etc/danmakud/danmakud.ini"
    unit = (tmp_path / "usr/local/lib/systemd/system/danmakud.service").read_text()
    assert os.access(tmp_path / "usr/local/bin/danmakud", os.X_OK) and (tmp_path / "usr/local/share/man/man1/danmakud.1").exists()
    assert "ExecStart=/usr/local/bin/danmakud run --config /usr/local/etc/danmakud/danmakud.ini" in unit
    assert cli("check-config", "--config", str(ini)).returncode == 0
    ini.write_text("max_rooms = 7\n")
    subprocess.run(install, check=True, env=env, capture_output=True, timeout=harness.TIMEOUT)
    assert ini.read_text() == "max_rooms = 7\n"


def test_routes_and_openapi_agree():
    import yaml
    with open(os.path.join(ROOT, "openapi.yaml"), encoding="utf-8") as f:
        spec = yaml.safe_load(f)
    documented = {(method.upper(), path) for path, item in spec["paths"].items()
                  for method in item if method in ("get", "post", "put", "patch", "delete")}
    printed = [line.split() for line in cli("print-routes").stdout.splitlines() if line]
    assert {tuple(p[:2]) for p in printed} == documented
    assert ["GET", "/api/v1/events/stream", "stream", "streamEvents"] in printed


def test_migrate_and_schema_exit_codes(postgres, database, rows):
    url = postgres.url(database)
    assert cli("migrate", "--database-url", url).returncode == 0
    assert cli("migrate", "--database-url", url).returncode == 0
    with postgres.connect(database) as c:
        c.execute("INSERT INTO schema_migrations (version, name, sha256, applied_by) "
                  "SELECT max(version) + 1, 'from_the_future', min(sha256), min(applied_by) FROM schema_migrations")
    r = cli("migrate", "--database-url", url)
    assert r.returncode == 3, r.stderr
    assert "newer" in r.stderr


def test_public_address_needs_a_token(postgres, database):
    url = postgres.url(database)
    r = cli("run", "--database-url", url, "--listen", "0.0.0.0:0")
    assert r.returncode == 2, r.stderr
    assert "token add" in r.stderr


def test_first_token_ends_the_streams_of_everybody(postgres, database, danmakud):
    d = danmakud()
    stream = d.get("/api/v1/events/stream", stream=True)
    lines = stream.iter_lines()
    assert any(line == b"event: hello" for line in lines)
    added = cli("token", "add", "overlay", "--database-url", postgres.url(database))
    assert added.returncode == 0 and "every request needs a token" in added.stderr
    ok = {"Authorization": "Bearer " + re.search(r"dmk_[A-Za-z0-9_-]+", added.stdout).group(0)}
    wait_for("the token", lambda: d.get("/api/v1/rooms", headers=ok).status_code == 200)
    for _ in lines:
        pass  # until danmakud ends it
    assert d.get("/api/v1/events/stream", stream=True).status_code == 401
    assert d.get("/api/v1/events/stream", headers=ok, stream=True).status_code == 200


def test_tokens(postgres, database, danmakud, rows):
    url = postgres.url(database)
    assert cli("migrate", "--database-url", url).returncode == 0
    bad = cli("token", "add", "grafana", "--scopes=reed", "--database-url", url)
    assert bad.returncode == 2 and "reed" in bad.stderr
    r = cli("token", "add", "grafana", "--scopes=read", "--database-url", url)
    assert r.returncode == 0, r.stderr
    token = re.search(r"dmk_[A-Za-z0-9_-]+", r.stdout).group(0)
    assert rows("SELECT count(*) FROM api_token WHERE position(%s::bytea in hash) > 0", token.encode()) == [(0,)]
    listed = cli("token", "list", "--database-url", url)
    assert "grafana" in listed.stdout and token not in listed.stdout

    d = danmakud()
    r = d.get("/api/v1/rooms")
    assert r.status_code == 401 and r.headers["WWW-Authenticate"].startswith("Bearer")
    assert r.json()["code"] == "unauthenticated"
    ok = {"Authorization": f"Bearer {token}"}
    assert d.get("/api/v1/rooms", headers=ok).status_code == 200
    r = d.get("/api/v1/events/stream", headers=ok, stream=True)
    assert r.status_code == 403 and r.json()["code"] == "forbidden"
    assert d.get("/api/v1/rooms", headers={"Authorization": "Bearer dmk_wrong"}).status_code == 401
    assert d.get("/livez").status_code == 200
    assert token not in d.log_text()
    assert cli("token", "revoke", "grafana", "--database-url", url).returncode == 0
    assert cli("token", "revoke", "grafana", "--database-url", url).returncode == 1
