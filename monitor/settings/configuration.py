"""Settings from the command line, then from a TOML file."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
)
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from monitor._rust_feed import venues
from monitor.rows import Source, parse, quote_assets
from monitor.settings.alert_rules import DEFAULTS, AlertRule
from monitor.settings.passwords import NAME, Role, check_hash

SECRETS = {"api_key", "cookie_secret", "password_hash", "webhooks", "command", "ping_url"}
# Errors with a value that may be a secret: do not show it.
HIDDEN_TYPES = {"extra_forbidden", "model_type", "model_attributes_type", "dict_type"}
ADDRESSES = {"ws_url", "rest_url"}
STREAM_SCHEMES, WEB_SCHEMES = ("ws", "wss"), ("http", "https")
# For every table: no unknown settings, no NaN or infinity.
STRICT = ConfigDict(extra="forbid", allow_inf_nan=False)
# A name as browsers send it: no scheme, no port, no pattern.
HOST = re.compile(r"[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?", re.IGNORECASE)
# Seconds or MB: smaller ones would make a file at each pass of the recorder.
LEAST_SEGMENT = 1
# Of a token's amounts.
Places = Annotated[int, Field(ge=0, le=36)]


class Endpoint(NamedTuple):
    """Addresses of a venue in place of its own; None keeps the venue's own."""

    ws: str | None
    http: str | None


def _is_url(text: str, schemes: Sequence[str]) -> bool:
    try:
        parts = urlsplit(text)
        return bool(parts.hostname) and parts.scheme in schemes and parts.port != 0
    except ValueError:
        return False


def _stream_url(text: str) -> str:
    """Check the address of a venue's stream; ValueError says what was expected."""
    if not _is_url(text, STREAM_SCHEMES):
        raise ValueError("expected a ws:// or wss:// URL")
    return text


def _web_url(text: str) -> str:
    """Check the address of a venue's REST; ValueError says what was expected."""
    if not _is_url(text, WEB_SCHEMES):
        raise ValueError("expected an http:// or https:// URL")
    return text


class PoolSettings(BaseModel):
    """A liquidity pool: `decimals` are those of base and quote, `fee` counts millionths.

    `inverted` says that the base is the pool's second token, by the order of their addresses.
    """

    model_config = STRICT
    address: str = Field(pattern=r"^0x[0-9a-fA-F]{40}$")
    version: Literal["v2", "v3"]
    base: str = Field(pattern=r"^[A-Za-z0-9.]+$")
    quote: str = Field(pattern=r"^[A-Za-z0-9.]+$")
    decimals: tuple[Places, Places]
    fee: int = Field(default=3000, ge=0, lt=1_000_000)
    inverted: bool = False


Mode = Literal["auto", "ws", "rest"]
Interval = Annotated[float, Field(ge=0.1, le=3600)]
Connections = Annotated[int, Field(ge=1, le=2)]


class SourceSettings(BaseModel):
    """A source with settings that differ from its venue's."""

    model_config = STRICT
    source: str
    mode: Mode | None = None
    interval_s: Interval | None = None
    connections: Connections | None = None


class VenueSettings(BaseModel):
    """A venue's addresses, mode, poll interval in s, and API key.

    With two `connections` each message arrives twice and counts once, so that one may fail.
    `gap_fill` requests the missing trades of a gap by REST. `pools` are Uniswap pools beside the
    built-in ones.
    """

    model_config = STRICT
    ws_url: Annotated[str, AfterValidator(_stream_url)] | None = None
    rest_url: Annotated[str, AfterValidator(_web_url)] | None = None
    mode: Mode = "auto"
    interval_s: Interval | None = None
    fallback_after_s: float = Field(default=15.0, ge=0.1)
    connections: Connections = 1
    gap_fill: bool = True
    api_key: SecretStr | None = None
    pools: list[PoolSettings] = []


class RecorderSettings(BaseModel):
    """When a segment is full, and how much of the disk should stay free."""

    model_config = STRICT
    segment_s: float = Field(default=3600.0, gt=0)
    segment_mb: float = Field(default=256.0, gt=0)
    reserve_mb: int = Field(default=1024, ge=0)


class RetentionSettings(BaseModel):
    """Limits of old recordings, by the age of the last row or total size; None deletes nothing."""

    model_config = STRICT
    days: float | None = Field(default=None, ge=0.01)
    total_gb: float | None = Field(default=None, ge=0.001)


Asset = Annotated[str, Field(pattern=r"^[A-Z0-9.]+$")]


class CrossVenueSettings(BaseModel):
    """`taken_for` names quote assets that are compared as if they were another, `USDT = "USD"`."""

    model_config = STRICT
    threshold_bps: float = Field(default=1.0, ge=0)
    fresh_ms: float = Field(default=2000.0, gt=0)
    taken_for: Annotated[dict[Asset, Asset], AfterValidator(quote_assets.check)] = {}


def _folder(folder: Path) -> Path:
    if not folder.is_dir():
        raise ValueError("expected a folder that is there")
    return folder


class HookSettings(BaseModel):
    """Parameters of the built-in hooks; `folder` holds the user's own, each a .py file."""

    model_config = STRICT
    folder: Annotated[Path, AfterValidator(_folder)] | None = None
    cross_venue: CrossVenueSettings = CrossVenueSettings()


def _web(secret: SecretStr) -> SecretStr:
    """Check the address of a receiver, which may itself be a secret."""
    _web_url(secret.get_secret_value())
    return secret


WebUrl = Annotated[SecretStr, AfterValidator(_web)]
Times = Annotated[float, Field(ge=0.01, le=3600)]


class WebhookSettings(BaseModel):
    """A receiver; the environment variable `secret_env`, if any, holds the header's value."""

    model_config = STRICT
    url: WebUrl
    secret_env: str = Field(default="", pattern=r"^[A-Za-z0-9_]*$")
    secret_header: str = Field(default="Authorization", pattern=r"^[A-Za-z0-9-]+$")


class DeliverySettings(BaseModel):
    """Receivers of the signals of these hooks: webhooks, a command, the log.

    A failing webhook is retried at once, then after `backoff_s`, doubled each time up to
    `backoff_max_s`; after `retries` attempts it is reported as failed, and retried further. The
    command receives the signal as JSON on standard input, once. `ping_url` is requested every
    `ping_every_s` while everything works.
    """

    model_config = STRICT
    hooks: list[str] = ["alerts"]
    webhooks: list[WebhookSettings] = []
    timeout_s: Times = 5.0
    retries: int = Field(default=6, ge=0, le=20)
    backoff_s: Times = 0.5
    backoff_max_s: Times = 60.0
    command: list[str] = []
    command_limit_s: Times = 10.0
    log: bool = True
    ping_url: WebUrl | None = None
    ping_every_s: Times = 60.0


def _hash(secret: SecretStr) -> SecretStr:
    check_hash(secret.get_secret_value())
    return secret


class UserSettings(BaseModel):
    """A user who may log in: a `viewer` only looks, an `operator` may act."""

    model_config = STRICT
    password_hash: Annotated[SecretStr, AfterValidator(_hash)]
    role: Role = "viewer"


def _host(text: str) -> str:
    try:
        ip_address(text.strip("[]"))
    except ValueError:
        if not HOST.fullmatch(text):
            raise ValueError(
                "expected a name such as monitor.example.org, without scheme, port or wildcard"
            ) from None
    return text


class PageSettings(BaseModel):
    """Access to the page: users, the secret that signs their cookies, and the page's host names.

    With `behind_proxy` a proxy reports the browser's address and TLS (X-Forwarded-…).
    """

    model_config = STRICT
    cookie_secret: SecretStr | None = None
    users: dict[Annotated[str, Field(pattern=NAME)], UserSettings] = {}
    hosts: list[Annotated[str, AfterValidator(_host)]] = []
    behind_proxy: bool = False


def _rules(given: Any) -> Any:
    return DEFAULTS if given == "default" else given


class Settings(BaseSettings):
    """The contents of a configuration file."""

    model_config = SettingsConfigDict(extra="forbid", allow_inf_nan=False)
    sources: list[str | SourceSettings] = []
    venues: dict[str, VenueSettings] = {}
    hooks: HookSettings = HookSettings()
    # `default` stands for a list.
    alerts: Annotated[list[AlertRule], BeforeValidator(_rules)] = []
    delivery: DeliverySettings = DeliverySettings()
    recorder: RecorderSettings = RecorderSettings()
    retention: RetentionSettings = RetentionSettings()
    page: PageSettings = PageSettings()

    def parsed(self) -> list[Source]:
        """Return the sources; ValueError says what is wrong with one."""
        written = [SourceSettings(source=s) if isinstance(s, str) else s for s in self.sources]
        return [_source(one) for one in written]

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)


def load(file: Path | None) -> Settings:
    """Read the settings; ValueError says in one line what is wrong with the file."""
    if file is None:
        return Settings()
    try:
        # Editors of other systems put a byte order mark at the start.
        text = file.read_bytes().decode("utf-8-sig")
        settings = Settings(**tomllib.loads(text))
    except OSError as error:
        raise ValueError(f"expected a configuration file, found {file}: {error.strerror}") from None
    except ValidationError as error:
        raise ValueError(f"{file}: {_told(error)}") from None
    except ValueError as error:
        raise ValueError(f"{file}: expected TOML, found {error}") from None
    for name in ("segment_s", "segment_mb"):
        if (found := getattr(settings.recorder, name)) < LEAST_SEGMENT:
            raise ValueError(f"{file}: recorder.{name}: expected 1 or more, found {found:g}")
    for name, venue in settings.venues.items():
        _known(name)
        _check_connections(name, venue.connections)
    return settings


def _source(one: SourceSettings) -> Source:
    source = parse(one.source)
    _check_connections(source.venue, one.connections or 1)
    return source._replace(mode=one.mode, interval_s=one.interval_s, connections=one.connections)


def _check_connections(venue: str, connections: int) -> None:
    why = venues()[venue]["single"]
    if connections > 1 and why:
        raise ValueError(f"expected 1 connection to {venue}, found {connections}: {why}")


def asked_for(given: list[Any]) -> list[Source]:
    """Parse sources as in the file; ValueError says in one line what is wrong with one."""
    try:
        return Settings(sources=given).parsed()
    except ValidationError as error:
        raise ValueError(_told(error)) from error


def rules_of(given: list[Any]) -> list[AlertRule]:
    """Parse alert rules as in the file; ValueError says in one line what is wrong with one."""
    try:
        return Settings(alerts=given).alerts
    except ValidationError as error:
        # The index of a single source says nothing.
        known = "alerts.0." if len(given) == 1 else "alerts."
        raise ValueError(_told(error).removeprefix(known)) from error


def _told(error: ValidationError) -> str:
    # For a string-or-table field report the deepest error; that is the form the user meant.
    first = max(error.errors(), key=lambda one: len(one["loc"]))
    where = ".".join(str(part) for part in first["loc"])
    # A secret may be in the wrong place: do not show unknown values.
    hidden = first["type"] in HIDDEN_TYPES or SECRETS & set(first["loc"])
    given = first["input"]
    if ADDRESSES & set(first["loc"]):
        given = _without_secrets(str(given))
    found = "" if hidden else f", found {given!r}"
    return f"{where}: {first['msg']}{found}"


def _without_secrets(url: str) -> str:
    """Remove possible secrets from an address: user, password and query."""
    bare = url.partition("?")[0].partition("#")[0]
    start, slashes, rest = bare.rpartition("://")
    host, slash, path = rest.partition("/")
    return f"{start}{slashes}{host.rpartition('@')[2]}{slash}{path}"


def endpoints(settings: Settings, options: Sequence[str]) -> dict[str, Endpoint]:
    """Join the file's endpoints with those of `--endpoint VENUE=URL[,URL]`, which win."""
    found = {name: Endpoint(v.ws_url, v.rest_url) for name, v in settings.venues.items()}
    for option in options:
        venue, equals, urls = option.partition("=")
        if not equals or not urls:
            raise ValueError(f"expected VENUE=URL[,URL], found {_without_secrets(option)!r}")
        _known(venue)
        given: dict[str, str] = {}
        for url in urls.split(","):
            field = "ws" if _is_url(url, STREAM_SCHEMES) else "http"
            if field == "http" and not _is_url(url, WEB_SCHEMES):
                schemes = ", ".join(f"{scheme}://" for scheme in (*STREAM_SCHEMES, *WEB_SCHEMES))
                raise ValueError(f"expected a URL of {schemes}, found {_without_secrets(url)!r}")
            if field in given:
                raise ValueError(f"expected one {field} URL of {venue} in an --endpoint, found two")
            given[field] = url
        endpoint = found.get(venue, Endpoint(None, None))._replace(**given)
        found[venue] = endpoint
    return found


def simulated(endpoints: Mapping[str, Endpoint]) -> bool:
    """Return whether any venue is replaced by a program on this machine."""
    urls = [url for endpoint in endpoints.values() for url in endpoint if url]
    return any(is_loopback(urlsplit(url).hostname or "") for url in urls)


def is_loopback(host: str) -> bool:
    """Return whether a host is a loopback address or name."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _known(venue: str) -> None:
    if venue not in venues():
        raise ValueError(f"expected one of the venues {', '.join(venues())}, found {venue!r}")
