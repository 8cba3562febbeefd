"""Marks that several files share."""

import pytest

#: For tests whose float32 programs take seconds to compile, where float32 is tested nearby too.
FLOAT32_IN_SOAK = pytest.mark.parametrize(
    "dtype", [pytest.param("float32", marks=pytest.mark.soak), "float64"]
)
