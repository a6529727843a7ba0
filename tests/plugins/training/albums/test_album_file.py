"""album.toml, and the texts that go into it."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ambientd_plugins.training.albums.album_file import add_track, metadata_toml, read_metadata, to_toml
from ambientd_plugins.training.albums.item import clean, slug
from ambientd_plugins.training.albums.web import identity, licence, reason
from ambientd_plugins.training.errors import AlbumError

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
scalars = st.one_of(text, st.booleans(), st.integers(-(2**60), 2**60), st.floats(allow_nan=False, allow_infinity=False))
values = st.one_of(scalars, st.lists(scalars, max_size=3), st.dictionaries(text, scalars, max_size=2))


@given(st.dictionaries(text, values, max_size=4), st.lists(st.dictionaries(text, values, max_size=3), max_size=2))
def test_toml_comes_back_as_it_was(head, tracks):
    facts = {**head, "tracks": tracks}
    assert tomllib.loads(to_toml(facts)) == facts


@given(st.text(), st.text())
def test_any_title_makes_a_file_name_and_a_line(title, artist):
    assert set(slug(title)) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
    assert 0 < len(slug(title)) <= 60
    assert len(clean(title).splitlines()) <= 1
    tomllib.loads(to_toml({"title": title, "artist": clean(artist)}))


def test_metadata_with_an_emoji_survives(tmp_path):
    (tmp_path / "album.toml").write_text('title = "Tones 🎹"\n', encoding="utf-8")
    album = read_metadata([tmp_path], "x")
    assert tomllib.loads(metadata_toml(album))["title"] == "Tones 🎹"


@pytest.mark.parametrize("content", ["title = ", 'tracks = "a"', "tracks = [1]", b"\xff"])
def test_a_damaged_album_toml_is_named(tmp_path, content):
    (tmp_path / "album.toml").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(AlbumError, match=r"album\.toml"):
        read_metadata([tmp_path], "x")


def test_the_head_follows_the_tracks_until_a_person_writes_it():
    one = {"file": "1", "title": "One", "artist": "Ada", "licence": "CC0-1.0", "album": "A"}
    two = {"file": "2", "title": "Two", "artist": "Bob", "licence": "CC-BY-4.0", "album": "B"}
    facts = add_track({}, one, "folder")
    assert (facts["title"], facts["artist"], facts["attribution"]) == ("A", "Ada", "A by Ada, CC0-1.0")
    facts = add_track(facts | {"licence": "mine"}, two, "folder")
    assert (facts["title"], facts["artist"], facts["licence"]) == ("folder", "Ada, Bob", "mine")
    assert facts["attribution"] == "A by Ada, CC0-1.0; B by Bob, CC-BY-4.0"
    assert [track["file"] for track in add_track(facts, one | {"seconds": 1}, "folder")["tracks"]] == ["1", "2"]


def test_licences_are_named_and_linked():
    zero = "https://creativecommons.org/publicdomain/zero/1.0/"
    assert licence(f"see {zero}") == ("CC0-1.0", zero)
    assert licence("http://creativecommons.org/licenses/by-nc-sa/3.0/us/")[0] == "CC-BY-NC-SA-3.0"
    assert licence("All rights reserved\n") == ("All rights reserved", "")
    assert licence("https://example.org/terms") == ("https://example.org/terms",) * 2


def test_an_address_tells_tracks_apart_where_a_site_does_not():
    assert identity({"extractor_key": "Youtube", "id": "abc"}) == identity(
        {"ie_key": "Youtube", "id": "abc", "url": "x"}
    )
    one, two = ({"extractor_key": "Generic", "id": "01", "url": f"http://{host}/01.flac"} for host in "ab")
    assert identity(one) != identity(two)


def test_messages_lose_their_decoration():
    said = "ERROR: [youtube] abc: Private video (caused by X(1)); please report this issue on https://x\nmore"
    assert reason(said) == "Private video"
    assert reason("ERROR: unable to download video data: HTTP Error 404: Not Found").endswith("404: Not Found")
