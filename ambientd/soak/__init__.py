"""`ambientd soak`: breaks the real daemon on the venue's own machine, listens to it, and writes a certificate.

Its own process, beside the daemon's. A `Rig` (rig.py) starts `ambientd run` in a home of its own against a private
PulseAudio null sink, or a clock where there is no PulseAudio, and hears what comes out. A scenario does one thing to
it and measures what was promised of that.

To add a scenario, put a module into `ambientd/soak/scenarios/`; it is found by being there. It ends with

    SCENARIOS = (
        Scenario("generator-killed", 1, "The generator is killed", "real: SIGKILL to the process", run, 12.0, 5),
    )

where `run(rig, effort)` breaks the daemon `effort.rounds` times and returns its measures:

    def run(rig: Rig, effort: Effort) -> list[Measure]:
        heard = rig.mark()                                     # from here on
        rig.signal("generator", signal.SIGKILL)
        rig.until(playing_anew, 60)
        return [*hearing(rig.since(heard), rig.rate),          # gaps, clicks
                at_most("a new generator plays", seconds, "s", 10.0 * effort.patience)]

A limit of time is multiplied by `effort.patience`, which is 1 in a soak and more in `make test` (tests/soak runs every
scenario once, with tiny models). `rig.fresh("key=value")` is another daemon while the shared one rests; leave the
shared one playing as you found it. Raise NotTried with the reason where this machine does not allow the fault: that is
never a pass. `layer` says what of it is real, and where it is simulated.
"""
