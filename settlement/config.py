"""What can be configured, from the environment only; with nothing set, everything runs on the embedded default."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from settlement.errors import Refused

PREFIX = "SETTLEMENT_"
DATABASE_SCHEMES = ("postgresql://", "postgres://", "postgresql+psycopg://")
_PASSWORD = re.compile(r"(\w+://[^:/@\s]*):[^@/\s]+@")
REDIS_SCHEMES = ("redis://", "rediss://", "unix://")


class Settings(BaseSettings):
    """The settings; each is read from the environment variable `SETTLEMENT_<NAME>`, an empty one counts as not set."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True, frozen=True)

    database_url: SecretStr | None = Field(
        default=None, description="an external PostgreSQL 15 or newer, postgresql://user@host/name; not set: embedded"
    )
    redis_url: SecretStr | None = Field(
        default=None, description="an external Redis 6.2 or newer, redis://host:6379/0; not set: embedded"
    )
    home: Path = Field(default=Path(".settlement"), description="where the embedded servers keep their data")
    secret_key: SecretStr | None = Field(
        default=None,
        description="what stored credentials are encrypted with: one key, or several with commas, the newest first",
    )
    secret_key_file: Path | None = Field(
        default=None,
        description="the file that holds it, mode 0600; not set: secret.key in the home, made at first use",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(default="INFO", description="what is logged")
    log_format: Literal["console", "json"] = Field(default="console", description="lines to read, or JSON to collect")

    @field_validator("database_url")
    @classmethod
    def _names_postgresql(cls, url: SecretStr | None) -> SecretStr | None:
        return _with_scheme(url, DATABASE_SCHEMES)

    @field_validator("redis_url")
    @classmethod
    def _names_redis(cls, url: SecretStr | None) -> SecretStr | None:
        return _with_scheme(url, REDIS_SCHEMES)

    @field_validator("home", "secret_key_file")
    @classmethod
    def _is_absolute(cls, path: Path | None) -> Path | None:
        return None if path is None else path.expanduser().absolute()

    @field_validator("log_level", mode="before")
    @classmethod
    def _is_upper_case(cls, level: object) -> object:
        return level.upper() if isinstance(level, str) else level


def read_settings() -> Settings:
    """The settings as the environment has them now; a bad value is refused by its variable's name, never its content."""
    try:
        return Settings()
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        variable = PREFIX + str(first["loc"][0]).upper()
        raise Refused(
            first["msg"].removeprefix("Value error, "), where=variable, mend="correct the variable or unset it"
        ) from None


def unknown_variables() -> list[str]:
    """Variables of the environment that look like settings and are none: usually a typing error."""
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    return sorted(name for name in os.environ if name.startswith(PREFIX) and name not in known)


def without_password(text: str) -> str:
    """`text` with the password of every URL in it masked."""
    return _PASSWORD.sub(r"\1:***@", text)


def _with_scheme(url: SecretStr | None, schemes: tuple[str, ...]) -> SecretStr | None:
    if url is not None and not url.get_secret_value().startswith(schemes):
        raise ValueError(f"must start with {' or '.join(schemes)}")
    return url
