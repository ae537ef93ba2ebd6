"""The self-check (企微自检): what of WeCom works for a corp, and which setting is missing where it does not.

1. Every part is asked by one harmless read, as the product asks it. Nothing is written on WeCom and nobody hears of it.
2. What came back is judged by pure functions (``rules``, ``reach``) into findings. A finding is a code with the facts of its
   sentence; the code says how grave it is, what was seen and what to do (``findings``). No fact is a secret or a token.
3. A run ends within a minute and a half, whatever WeCom or our own address do; what was not reached in time says so. An
   unreachable WeCom is a finding.
4. Runs are kept as rows, the newest of each corp. An error that was not there before stays marked until somebody looks.
5. Upper apps add their checks with ``register`` from ``AppConfig.ready``.
"""

from scrm.wecom.diagnosis.findings import ERROR, OK, WARNING, Finding, Sentence
from scrm.wecom.diagnosis.runs import KIND, Seen, latest, look_at, news, register, run, start, start_daily, work

__all__ = [
    "ERROR", "KIND", "OK", "WARNING", "Finding", "Seen", "Sentence", "latest", "look_at", "news", "register", "run", "start",
    "start_daily", "work",
]  # fmt: skip
