"""The pages: links and anchors exist, the spelling is right in both languages, and the
pictures are those of the script."""

import re
import subprocess

import pytest

from conftest import ROOT, run

# Licence texts of others; not ours to correct.
FOREIGN = {"THIRD-PARTY.md"}
PAGES = sorted(name for name in run("git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md").stdout.split()
               if name not in FOREIGN and (ROOT / name).is_file())
WORDS = ROOT / "tests/words.txt"


def without_code(text):
    """The page without what is code or markup: fences, indented blocks, `code`, comments."""
    text = re.sub(r"<!--.*?-->", " ", text, flags=re.DOTALL)
    text = re.sub(r"^( *)```.*?^\1```", "", text, flags=re.DOTALL | re.MULTILINE)
    text = re.sub(r"^    .*$", "", text, flags=re.MULTILINE)
    return re.sub(r"(`+)(.+?)\1", " ", text, flags=re.DOTALL)


def prose(text):
    text = re.sub(r"\]\([^)\s]*\)", "]", without_code(text))
    return re.sub(r"https?://\S+|<[^>\s]+>|'s\b", " ", text)


def anchors(text):
    """As GitHub makes them from headings: lower case, no punctuation, hyphens for spaces, -1 for a second one."""
    seen = {}
    found = set(re.findall(r'<a (?:name|id)="([^"]+)"', text))
    for heading in re.findall(r"^#+ +(.*?)(?: +\{#[\w-]+\})?$", re.sub(r"^( *)```.*?^\1```", "", text, flags=re.S | re.M), re.M):
        plain = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower()
        anchor = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        number = seen[anchor] = seen.get(anchor, -1) + 1
        found.add(f"{anchor}-{number}" if number else anchor)
    return found


def broken_links(name, text, root=ROOT):
    """Relative links of a page that lead nowhere, and anchors that no heading has."""
    links = re.findall(r"\]\(\s*<?([^)\s>]+)", without_code(text))
    links += re.findall(r"^\[[^]]+\]: +(\S+)", without_code(text), re.MULTILINE)
    for link in links:
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (root / name).parent / path if path else root / name
        if not target.exists():
            yield f"{name}: {link}: there is no such file"
        elif anchor and anchor not in anchors(text if target == root / name else target.read_text()):
            yield f"{name}: {link}: no heading makes that anchor"


@pytest.mark.parametrize("name", PAGES)
def test_links_and_anchors_lead_somewhere(name):
    assert list(broken_links(name, (ROOT / name).read_text())) == []


@pytest.mark.parametrize(("text", "broken"), [
    ("# One\n[a](#one)", 0), ("# One\n[a](#two)", 1), ("[a](other.md#there)", 0), ("[a](other.md#gone)", 1),
    ("[a](missing.md)", 1), ("`[a](missing.md)`", 0), ("[a](https://example.com/#x)", 0), ("![a](missing.svg)", 1),
    ("# A `-t`, and *b*\n[a](#a--t-and-b)", 0), ("# One\n# One\n[a](#one-1) [b](#one-2)", 1), ("[a]: missing.md\n", 1),
])
def test_a_broken_link_is_seen(tmp_path, text, broken):
    (tmp_path / "other.md").write_text("# There\n")
    (tmp_path / "page.md").write_text(text)
    assert len(list(broken_links("page.md", text, tmp_path))) == broken


def misspelt(text, language):
    """The words that neither hunspell knows nor our list. Names with a digit, or with a capital
    within (TLS, KiB, ClientHello), are no words."""
    known = set(WORDS.read_text().split())
    done = subprocess.run(["hunspell", "-d", "es_ES" if language == "es" else "en_US", "-i", "utf-8", "-l"],
                          input=prose(text), capture_output=True, text=True, check=True)
    return sorted(word for word in set(done.stdout.split())
                  if not {word, word.lower()} & known and not re.search(r"\d|.[A-Z]", word))


@pytest.mark.parametrize("name", PAGES)
def test_the_spelling_is_right(name):
    language = "es" if name.startswith("docs/es/") else "en"
    assert misspelt((ROOT / name).read_text(), language) == []


@pytest.mark.parametrize(("text", "language", "words"), [
    ("A kubelet recieves it.", "en", ["recieves"]), ("El kubelet resive una peticion.", "es", ["peticion", "resive"]),
    ("A `recieves` and\n```\nrecieves\n```\n", "en", []), ("The kubelet's pod", "en", []),
])
def test_a_wrong_word_is_seen(text, language, words):
    assert misspelt(text, language) == words


def test_the_list_of_words_is_sorted_and_none_of_it_is_idle():
    words = WORDS.read_text().split()
    assert words == sorted(set(words))
    everything = " ".join(prose((ROOT / name).read_text()) for name in PAGES)
    assert set(words) - set(re.findall(r"[^\W_]+", f"{everything} {everything.lower()}")) == set()


def test_the_pictures_are_those_of_the_script(tmp_path):
    run(ROOT / "scripts/pictures", tmp_path)
    drawn = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert drawn == {path.name: path.read_text() for path in (ROOT / "docs/img").glob("*.svg")}
    for name in drawn:
        assert any(f"../img/{name}" in (ROOT / page).read_text() for page in PAGES), f"{name} is nowhere shown"
