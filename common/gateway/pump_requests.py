"""What may be asked of the pumps over HTTP: fields, bounds, types. Nothing is guessed: "5" and true are no numbers."""

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

_Number = Annotated[float, Field(strict=True, allow_inf_nan=False, gt=0)]
_Seconds = Annotated[_Number, Field(le=86_400, description="s, ramps included", examples=[5.0])]
_Ml = Annotated[_Number, Field(le=1_000_000, description="mL", examples=[2.5])]
_Hz = Annotated[_Number, Field(ge=1, le=1_000_000, description="steps a second; null: the pump's own")]
PumpName = Annotated[str, Field(min_length=1, max_length=64, description="a configured name", examples=["water"])]
_Direction = Annotated[
    Literal["forward", "fwd", "cw", "reverse", "rev", "ccw", "back"],
    BeforeValidator(lambda value: value.lower() if isinstance(value, str) else value),
]
CommandId = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9_.:-]{1,64}$", description="moves something once, however often it comes")
]


class _Command(BaseModel):
    model_config = ConfigDict(extra="forbid")

    command_id: CommandId | None = None


class _Motion(_Command):
    hz: _Hz | None = None
    direction: _Direction = "forward"


class RunSeconds(_Motion):
    pump: PumpName
    seconds: _Seconds


class RunMultiSeconds(_Motion):
    pumps: Annotated[list[PumpName], Field(min_length=1, max_length=64)]
    seconds: _Seconds


class RunMl(_Motion):
    pump: PumpName
    ml: _Ml


class CalibrateSeconds(_Command):
    pump: PumpName
    run_seconds: _Seconds
    hz: _Hz | None = None


class Calibration(BaseModel):
    """ml_per_sec, of the pump's newest run; or ml, of that or of `run`."""

    model_config = ConfigDict(extra="forbid")

    pump: PumpName
    ml_per_sec: _Number | None = None
    ml: _Ml | None = None
    run: CommandId | None = None


class Stop(BaseModel):
    """pump null: all of them."""

    model_config = ConfigDict(extra="forbid")

    pump: PumpName | None = None
