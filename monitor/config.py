"""Settings: the command line first, then a TOML file."""

from __future__ import annotations

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
    TomlConfigSettingsSource,
)

from monitor import quote_assets
from monitor._rust_feed import venues
from monitor.rules import DEFAULTS, AlertRule
from monitor.sources import Source, parse
from monitor.users import NAME, Role, check_hash

SECRETS = {"api_key", "cookie_secret", "password_hash", "webhooks", "ping_url"}
SCHEMES = ("ws", "wss", "http", "https")
# Of a token's amounts.
Places = Annotated[int, Field(ge=0, le=36)]


class Endpoint(NamedTuple):
    """Where a venue is reached instead of at its own addresses; None leaves the venue's own."""

    ws: str | None
    http: str | None


def _url(text: str) -> str:
    """Check a venue's address; ValueError says what was expected."""
    try:
        parts = urlsplit(text)
        is_good = bool(parts.hostname) and parts.scheme in SCHEMES and parts.port != 0
    except ValueError:
        is_good = False
    if not is_good:
        raise ValueError("expected a ws://, wss://, http:// or https:// URL")
    return text


Url = Annotated[str, AfterValidator(_url)]


class PoolSettings(BaseModel):
    """A liquidity pool: `decimals` are those of base and quote, `fee` counts millionths.

    `inverted` says that the base is the pool's second token, by the order of their addresses.
    """

    model_config = ConfigDict(extra="forbid")
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
    """A source that is had in another way than the others of its venue."""

    model_config = ConfigDict(extra="forbid")
    source: str
    mode: Mode | None = None
    interval_s: Interval | None = None
    connections: Connections | None = None


class VenueSettings(BaseModel):
    """A venue's addresses, how it is had (polls every `interval_s`), and the key it wants.

    Over two `connections` everything comes twice and counts once, so that one may be lost.
    `gap_fill` has trades that a gap tells of asked for by REST. `pools` are of Uniswap, besides
    those that are built in.
    """

    model_config = ConfigDict(extra="forbid")
    ws_url: Url | None = None
    rest_url: Url | None = None
    mode: Mode = "auto"
    interval_s: Interval | None = None
    fallback_after_s: float = Field(default=15.0, gt=0)
    connections: Connections = 1
    gap_fill: bool = True
    api_key: SecretStr | None = None
    pools: list[PoolSettings] = []


class RecorderSettings(BaseModel):
    """When a segment is full, and how much of the disk should stay free."""

    model_config = ConfigDict(extra="forbid")
    segment_s: float = Field(default=3600.0, gt=0)
    segment_mb: float = Field(default=256.0, gt=0)
    reserve_mb: int = Field(default=1024, ge=0)


class RetentionSettings(BaseModel):
    """What is removed of old recordings, by the age of its last row or by size; nothing if None."""

    model_config = ConfigDict(extra="forbid")
    days: float | None = Field(default=None, gt=0)
    total_gb: float | None = Field(default=None, gt=0)


Asset = Annotated[str, Field(pattern=r"^[A-Z0-9.]+$")]


class CrossVenueSettings(BaseModel):
    """`taken_for` names quote assets that are compared as if they were another, `USDT = "USD"`."""

    model_config = ConfigDict(extra="forbid")
    threshold_bps: float = Field(default=1.0, ge=0)
    fresh_ms: float = Field(default=2000.0, gt=0)
    taken_for: Annotated[dict[Asset, Asset], AfterValidator(quote_assets.check)] = {}


class HookSettings(BaseModel):
    """Parameters of the built-in hooks; `folder` holds the user's own, each a .py file."""

    model_config = ConfigDict(extra="forbid")
    folder: Path | None = None
    cross_venue: CrossVenueSettings = CrossVenueSettings()


def _web(secret: SecretStr) -> SecretStr:
    """Check the address of a receiver, which may itself be a secret."""
    try:
        parts = urlsplit(secret.get_secret_value())
        is_good = bool(parts.hostname) and parts.scheme in ("http", "https") and parts.port != 0
    except ValueError:
        is_good = False
    if not is_good:
        raise ValueError("expected an http:// or https:// URL")
    return secret


WebUrl = Annotated[SecretStr, AfterValidator(_web)]
Times = Annotated[float, Field(gt=0, le=3600)]


class WebhookSettings(BaseModel):
    """A receiver; the environment variable `secret_env`, if any, holds the header's value."""

    model_config = ConfigDict(extra="forbid")
    url: WebUrl
    secret_env: str = Field(default="", pattern=r"^[A-Za-z0-9_]*$")
    secret_header: str = Field(default="Authorization", pattern=r"^[A-Za-z0-9-]+$")


class DeliverySettings(BaseModel):
    """To whom the collector hands signals of these hooks: webhooks, a command, lines of a log.

    A webhook that fails is asked again at once, then after pauses of `backoff_s` doubled each
    time, at most `backoff_max_s`; after `retries` of them it is told of as failed, and asked on.
    The command has the signal as JSON on its standard input, once. `ping_url` is asked every
    `ping_every_s` while all is well.
    """

    model_config = ConfigDict(extra="forbid")
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
    """Somebody who may log in: `viewer` only looks, `operator` may act."""

    model_config = ConfigDict(extra="forbid")
    password_hash: Annotated[SecretStr, AfterValidator(_hash)]
    role: Role = "viewer"


class PageSettings(BaseModel):
    """Who may reach the page: users, what signs their cookies, and names that the page goes by.

    `behind_proxy` says that a proxy tells of the browser's address and of TLS (X-Forwarded-…).
    """

    model_config = ConfigDict(extra="forbid")
    cookie_secret: SecretStr | None = None
    users: dict[Annotated[str, Field(pattern=NAME)], UserSettings] = {}
    hosts: list[str] = []
    behind_proxy: bool = False


def _rules(given: Any) -> Any:
    return DEFAULTS if given == "default" else given


class Settings(BaseSettings):
    """What a configuration file may say."""

    model_config = SettingsConfigDict(extra="forbid")
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
    if not file.is_file():
        raise ValueError(f"expected a configuration file, found no file {file}")
    try:
        values = TomlConfigSettingsSource(Settings, file)()
        settings = Settings(**values)
    except ValidationError as error:
        raise ValueError(f"{file}: {_told(error)}") from error
    except ValueError as error:
        raise ValueError(f"{file}: expected TOML, found {error}") from error
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
    """Read sources as a file has them; ValueError says in one line what is wrong with one."""
    try:
        return Settings(sources=given).parsed()
    except ValidationError as error:
        raise ValueError(_told(error)) from error


def rules_of(given: list[Any]) -> list[AlertRule]:
    """Read alert rules as a file has them; ValueError says in one line what is wrong with one."""
    try:
        return Settings(alerts=given).alerts
    except ValidationError as error:
        # Of one alone its number says nothing.
        known = "alerts.0." if len(given) == 1 else "alerts."
        raise ValueError(_told(error).removeprefix(known)) from error


def _told(error: ValidationError) -> str:
    # Of what could be a text or a table the one is told of that was meant: it goes deeper.
    first = max(error.errors(), key=lambda one: len(one["loc"]))
    where = ".".join(str(part) for part in first["loc"])
    # A key may stand where none is expected: what is not asked for is not shown.
    hidden = first["type"] == "extra_forbidden" or SECRETS & set(first["loc"])
    found = "" if hidden else f", found {first['input']!r}"
    return f"{where}: {first['msg']}{found}"


def endpoints(settings: Settings, options: Sequence[str]) -> dict[str, Endpoint]:
    """Join the file's endpoints with those of `--endpoint VENUE=URL[,URL]`, which win."""
    found = {name: Endpoint(v.ws_url, v.rest_url) for name, v in settings.venues.items()}
    for option in options:
        venue, equals, urls = option.partition("=")
        if not equals or not urls:
            raise ValueError(f"expected VENUE=URL[,URL], found {option!r}")
        _known(venue)
        endpoint = found.get(venue, Endpoint(None, None))
        for url in urls.split(","):
            try:
                field = "ws" if _url(url).startswith("ws") else "http"
            except ValueError as error:
                raise ValueError(f"{error}, found {url!r}") from None
            endpoint = endpoint._replace(**{field: url})
        found[venue] = endpoint
    return found


def simulated(endpoints: Mapping[str, Endpoint]) -> bool:
    """Tell whether any venue is replaced by a program on this machine."""
    urls = [url for endpoint in endpoints.values() for url in endpoint if url]
    return any(is_loopback(urlsplit(url).hostname or "") for url in urls)


def is_loopback(host: str) -> bool:
    """Tell whether only programs on this machine are reached, or reach, by this host."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _known(venue: str) -> None:
    if venue not in venues():
        raise ValueError(f"expected one of the venues {', '.join(venues())}, found {venue!r}")
