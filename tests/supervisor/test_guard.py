"""What goes wrong in a side room is told, once to people, and goes no further."""

from ambientd.supervisor.event_log import EventLog
from ambientd.supervisor.guard import Guard


def test_a_surprise_is_told_and_the_loop_goes_on():
    said = []
    log = EventLog(None, 0, said.append)
    guard = Guard(log, said.append)

    def work():
        raise ZeroDivisionError("once more")

    assert [guard("midi", work) for _ in range(3)] == [False] * 3
    assert guard("midi", lambda: None)
    assert len(said) == 1
    assert "midi: ZeroDivisionError: once more" in said[0]
    assert log.faults[-1]["state"] == "surprised"
    assert "work" in log.faults[-1]["trace"]
