import os
import selectors
from functools import partial

from ambientd.supervisor.ready import what_is_ready


def test_what_another_has_closed_meanwhile_is_not_called():
    selector, called, ends = selectors.DefaultSelector(), [], [os.pipe() for _ in range(3)]

    def close_the_others(own):
        called.append(own)
        for end, _ in ends:
            if end != own:
                selector.unregister(end)

    for end, other_end in ends:
        os.write(other_end, b".")
        selector.register(end, selectors.EVENT_READ, partial(close_the_others, end))
    for answer in what_is_ready(selector, 0):
        answer()
    assert len(called) == 1
    assert len(list(what_is_ready(selector, 0))) == 1  # which is still there
    selector.close()
    for end in sum(ends, ()):
        os.close(end)
