"""Alert rules in the configuration: kinds, thresholds, severities."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

NONE = float("inf")
Severity = Literal["info", "warn", "alert"]
Seconds = Annotated[float, Field(gt=0, le=86_400)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


def _name(text: str) -> str:
    """Check a name: a rule's signals begin with it, and a colon ends it."""
    if ":" in text or not text.isprintable():
        raise ValueError("expected a name without a colon that can be printed")
    return text


class Rule(BaseModel):
    """What all rules share.

    `match` is a pattern over `venue:symbol`, such as `binance:*-USDT`. A rule fires when its value
    has been at the threshold, or beyond, for `hold_s` without a break. It ends when the value is
    back by more than the share `clear` of the threshold: 0.2 under 500 ms is below 400 ms. For
    `cooldown_s` after it fired it does not fire again for the same instrument.
    """

    model_config = ConfigDict(extra="forbid")
    of_recorder: ClassVar[bool] = False
    unit: ClassVar[str] = ""
    kind: str
    name: Annotated[str, AfterValidator(_name)] = Field(default="", max_length=60)
    match: str = Field(default="*", min_length=1)
    hold_s: float = Field(default=0.0, ge=0, le=86_400)
    clear: float = Field(default=0.0, ge=0, lt=1)
    cooldown_s: float = Field(default=60.0, ge=0, le=86_400)
    severity: Severity = "warn"

    @property
    def title(self) -> str:
        return self.name or self.kind

    @property
    def band(self) -> tuple[float, float]:
        """The thresholds below and above which the rule fires; infinite where there is none."""
        raise NotImplementedError


class Stale(Rule):
    """No quote, trade or book row of an instrument for `age_s`."""

    unit = "s"
    kind: Literal["stale"]
    age_s: Seconds = 10.0

    @property
    def band(self) -> tuple[float, float]:
        return -NONE, self.age_s


class Disconnected(Rule):
    """An instrument's source has been neither connected nor quiet nor polling for `down_s`."""

    unit = "s"
    kind: Literal["disconnected"]
    down_s: Seconds = 30.0

    @property
    def band(self) -> tuple[float, float]:
        return -NONE, self.down_s


class Counted(Rule):
    """A number of status rows of one kind within `window_s`."""

    per_window: float = Field(default=1.0, ge=1, allow_inf_nan=False)
    window_s: Seconds = 60.0

    @property
    def band(self) -> tuple[float, float]:
        return -NONE, self.per_window


class GapRate(Counted):
    """Lost messages: `gap` rows; a connection's count for each instrument of its venue."""

    unit = "gaps"
    kind: Literal["gap_rate"]


class Checksum(Counted):
    """Books that failed their checksum."""

    unit = "failures"
    kind: Literal["checksum"]


class Unrecorded(Counted):
    """Rows that this program dropped or could not record (`overflow`, `unrecorded`)."""

    of_recorder = True
    unit = "times"
    kind: Literal["unrecorded"]


class LatencyP99(Rule):
    """The slowest channel's 99th percentile of the last second with data."""

    unit = "ms"
    kind: Literal["latency_p99"]
    latency_ms: Positive = 1000.0

    @property
    def band(self) -> tuple[float, float]:
        return -NONE, self.latency_ms


class Crossed(Rule):
    """Bid above ask by `crossed_bps`; 0 includes locked. A book reported as crossed counts as 0."""

    unit = "bps"
    kind: Literal["crossed"]
    crossed_bps: float = Field(default=0.0, ge=0, allow_inf_nan=False)

    @property
    def band(self) -> tuple[float, float]:
        return -NONE, self.crossed_bps


class Spread(Rule):
    """The spread is at `max_bps` or wider, or at `min_bps` or narrower."""

    unit = "bps"
    kind: Literal["spread"]
    max_bps: float = NONE
    min_bps: float = -NONE

    @model_validator(mode="after")
    def _has_threshold(self) -> Spread:
        if self.max_bps == NONE and self.min_bps == -NONE:
            raise ValueError("expected max_bps or min_bps, found neither")
        # No number is below NaN.
        if not self.min_bps < self.max_bps:
            raise ValueError(f"expected min_bps below max_bps, found {self.min_bps:g}")
        return self

    @property
    def band(self) -> tuple[float, float]:
        return self.min_bps, self.max_bps


class PriceMove(Rule):
    """The mid (without quotes the last trade) has moved this far from an extreme of `window_s`."""

    unit = "%"
    kind: Literal["price_move"]
    move_percent: Positive = 1.0
    window_s: Annotated[float, Field(ge=1, le=86_400)] = 60.0

    @property
    def band(self) -> tuple[float, float]:
        return -NONE, self.move_percent


class RateDrop(Rule):
    """The message rate of `window_s` is below a share of that of the `baseline_s` before."""

    unit = "% of the usual rate"
    kind: Literal["rate_drop"]
    rest_percent: Annotated[float, Field(gt=0, lt=100)] = 20.0
    window_s: Annotated[float, Field(ge=5, le=3600)] = 10.0
    baseline_s: Annotated[float, Field(ge=30, le=86_400)] = 300.0

    @model_validator(mode="after")
    def _has_past(self) -> RateDrop:
        if self.baseline_s <= self.window_s:
            raise ValueError(f"expected baseline_s above window_s, found {self.baseline_s:g}")
        return self

    @property
    def band(self) -> tuple[float, float]:
        return self.rest_percent, NONE


class RecorderLag(Rule):
    """Rows have waited this long to be written."""

    of_recorder = True
    unit = "ms"
    kind: Literal["recorder_lag"]
    lag_ms: Positive = 2000.0

    @property
    def band(self) -> tuple[float, float]:
        return -NONE, self.lag_ms


class DiskSpace(Rule):
    """Less disk space is free than `[recorder] reserve_mb`."""

    of_recorder = True
    kind: Literal["disk_space"]

    @property
    def band(self) -> tuple[float, float]:
        return -NONE, 1.0


AlertRule = Annotated[
    Stale
    | Disconnected
    | GapRate
    | Checksum
    | Unrecorded
    | LatencyP99
    | Crossed
    | Spread
    | PriceMove
    | RateDrop
    | RecorderLag
    | DiskSpace,
    Field(discriminator="kind"),
]

# By kind.
KINDS: dict[str, type[Rule]] = {
    get_args(rule.model_fields["kind"].annotation)[0]: rule
    for rule in get_args(get_args(AlertRule)[0])
}

# The rules of `alerts = "default"`: faults that matter to everyone, no market events.
DEFAULTS: list[AlertRule] = [
    Stale(kind="stale", age_s=60.0, clear=0.5),
    Disconnected(kind="disconnected", severity="alert"),
    GapRate(kind="gap_rate", per_window=5.0),
    Checksum(kind="checksum", per_window=5.0),
    Unrecorded(kind="unrecorded", severity="alert"),
    RecorderLag(kind="recorder_lag", hold_s=5.0, clear=0.5),
    DiskSpace(kind="disk_space", severity="alert"),
]
