"""All faults of the campaign."""

from __future__ import annotations

from tests.integration.faults.campaign import Fault
from tests.integration.faults.serving import SERVING
from tests.integration.faults.singles import SINGLES
from tests.integration.faults.starting import STARTS
from tests.integration.faults.vllm import REAL

FAULTS: tuple[Fault, ...] = (*STARTS, *REAL, *SERVING, *SINGLES)
