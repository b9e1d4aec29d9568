"""Which phones measured a table, and how far they agree where all of them ran the same.

Which of them measured a row is the row's column `phone`.
"""

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from search.table.values import Count, Finite, NotNegative

# Siblings of one model whose times lie within this share of each other agree.
AGREEMENT = 0.05

# As hashes of serial numbers are written.
PhoneName = Annotated[str, Field(pattern=r"^[A-Za-z0-9._?-]+$", max_length=100)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class MeasuringPhone(_Part):
    """One phone of a table.

    `serial_hash` names it, `number` is that within the campaign: a sample of `samples.parquet` is
    of the phone `at_ns // 2**50`. `items` counts the operators and networks that it measured (one
    that moved from a lost phone counts at both). `apart` is by which share it is slower than its
    siblings (below 0: faster), the median over what all of them ran; null: it was not compared.
    """

    number: Count
    serial_hash: PhoneName
    items: Count
    apart: Finite | None = None

    @property
    def disagrees(self) -> bool:
        """Whether it is further from its siblings than phones that agree are."""
        return self.apart is not None and abs(self.apart) > AGREEMENT


class MeasuringPhones(_Part):
    """The phones of one model that a table was measured on.

    `shared_items` counts what all of them ran, and `most_apart` is the largest difference on any
    of these between the slowest phone and the fastest; null: none was compared.

    Raises:
        ValueError: Two phones have one number.
    """

    phones: tuple[MeasuringPhone, ...]
    shared_items: Count
    most_apart: NotNegative | None = None

    @model_validator(mode="after")
    def _numbers_differ(self) -> Self:
        if len({phone.number for phone in self.phones}) != len(self.phones):
            raise ValueError("two phones have one number")
        return self
