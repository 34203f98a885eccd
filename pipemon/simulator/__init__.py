"""A GitHub (its Actions part) with a deterministic world of its own: for the demo, the tests and the benchmarks.

It shares no code with the rest of pipemon, so that a wrong algorithm can't agree with itself.

    sim = Simulator(size="empty", clock=lambda: 1_760_000_000)
    with sim.serve() as url:                       # in a thread of this process
        (run,) = sim.add_runs("octo-harbor/shop", seconds=0, branch="main")
        sim.advance(30)
        sim.order("finish", "shop", run=run, conclusion="failure")
        sim.order_fault("status", route="/actions/runs$", status=502, times=3)
        sim.hooks.aim("http://127.0.0.1:8000/api/v1/webhooks/github", "secret", dropped=0.3)
    sim.counters(), sim.hooks.counters(), sim.truth("shop")

As a process: `python -m pipemon.simulator --port 9100 --size demo`; then the same by POST to `/_sim/order`, `/_sim/fault`,
`/_sim/faults/clear`, `/_sim/advance`, `/_sim/exhaust`, `/_sim/revoke`, `/_sim/lag`, `/_sim/hooks`, `/_sim/counters/reset`,
and by GET from `/_sim/counters`, `/_sim/hooks/counters` and `/_sim/truth?repo=`.
"""

from pipemon.simulator.habits import OWNER
from pipemon.simulator.server import Simulator

__all__ = ["OWNER", "Simulator"]
