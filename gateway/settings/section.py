"""What every section of the configuration is made of."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, SecretStr

NAME = r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}"

Name = Annotated[str, Field(pattern=f"^{NAME}$")]
Secret = Annotated[SecretStr, Field(min_length=1)]


class Section(BaseModel):
    """A table of the file; a key that it does not know is an error, and values never show in errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)
