"""The rooms of the process that `ambientd run` is: what it knows, whom it starts and watches, and who may ask it.

`ambientd.daemon` brings them together. None of them makes a sound, and none of them waits.
"""
