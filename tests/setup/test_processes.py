import json
import threading
from pathlib import Path

from local.stack.processes import startup_lock
from local.stack.secret_files import airflow_password, secret_of
from local.stack.state_folder import close_to_others


def test_second_stack_waits_for_the_first():
    begun = threading.Event()

    def second() -> None:
        with startup_lock():
            begun.set()

    with startup_lock():
        waiting = threading.Thread(target=second)
        waiting.start()
        assert not begun.wait(0.5)
    assert begun.wait(5)
    waiting.join()


def test_old_state_folder_becomes_private(tmp_path: Path):
    (tmp_path / "airflow").mkdir(mode=0o755)
    (tmp_path / "postgres").mkdir(mode=0o750)
    outside = tmp_path.parent / f"{tmp_path.name}-shared"
    outside.mkdir(mode=0o755)
    (tmp_path / "shared").symlink_to(outside)
    for path in (
        tmp_path / "airflow" / "airflow.db",
        tmp_path / "postgres" / "PG_VERSION",
        outside / "rows",
    ):
        path.write_text("")
        path.chmod(0o644)
    close_to_others(tmp_path)
    modes = {
        name: (tmp_path / name).stat().st_mode & 0o777
        for name in ("airflow", "airflow/airflow.db", "postgres")
    }
    assert modes == {"airflow": 0o700, "airflow/airflow.db": 0o600, "postgres": 0o750}
    assert (outside.stat().st_mode & 0o777, (outside / "rows").stat().st_mode & 0o777) == (
        0o755,
        0o644,
    )


def test_secret_is_created_once(tmp_path: Path):
    secret = secret_of(tmp_path / "secret")
    assert len(secret) > 30
    assert secret_of(tmp_path / "secret") == secret != secret_of(tmp_path / "other")
    password = airflow_password(tmp_path / "passwords")
    assert json.loads((tmp_path / "passwords").read_text()) == {"admin": password}
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}
