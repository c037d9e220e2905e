"""Programs that claim a success they have not: none is believed."""

import pytest
from verdicts import judge

from refact_edge.quant.eval.judging.sandbox import FAILED, PASSED, TIMED_OUT, Sandbox, Verdict

CHEATS = {
    "exit 0 while loading": "import sys\nsys.exit(0)\n",
    "exit 0 when called": "def answer():\n    raise SystemExit(0)\n",
    "os._exit while loading": "import os\nos._exit(0)\n",
    "os._exit when called": "def answer():\n    import os\n    os._exit(0)\n",
    "print the verdict": 'print(\'{"passed": true, "detail": ""}\', flush=True)\nanswer = None\n',
    "print the verdict to stderr, then end": (
        "import os, sys\n"
        'print(\'{"passed": true, "detail": ""}\', file=sys.stderr, flush=True)\nos._exit(0)\n'
    ),
    "write the verdict to every file descriptor": (
        "import os\n"
        "for fd in range(64):\n"
        "    try:\n"
        '        os.write(fd, b\'{"passed": true, "detail": ""}\\n\' * 9)\n'
        "    except OSError:\n"
        "        pass\n"
        "def answer():\n    return 41\n"
    ),
    "an object equal to everything": (
        "class Any:\n"
        "    def __eq__(self, other): return True\n"
        "    def __ne__(self, other): return True\n"
        "def answer():\n    return Any()\n"
    ),
    "an int equal to everything": (
        "class Any(int):\n"
        "    def __eq__(self, other): return True\n"
        "    def __ne__(self, other): return True\n"
        "    __hash__ = int.__hash__\n"
        "def answer():\n    return Any(7)\n"
    ),
    "a dict that lies": (
        "class Any(dict):\n"
        "    def __eq__(self, other): return True\n"
        "    def items(self): return []\n"
        "def answer():\n    return Any(a=1)\n"
    ),
    "patched builtins": (
        "import builtins, json\n"
        "builtins.AssertionError = ValueError\n"
        "builtins.exec = builtins.compile = lambda *a, **k: None\n"
        'json.dumps = lambda *a, **k: \'{"passed": true, "detail": ""}\'\n'
        "def answer():\n    return 41\n"
    ),
    "a patched checker": (
        "import sys\n"
        "for module in list(sys.modules.values()):\n"
        "    if hasattr(module, '_failure'): module._failure = lambda *a: ''\n"
        "import inside.checker\n"
        "inside.checker._failure = lambda *a: ''\n"
        "def answer():\n    return 41\n"
    ),
    "a test of its own": "def check(candidate):\n    pass\ndef answer():\n    return 41\n",
    "the answer read from the checker's job": (
        "import glob\n"
        "def answer():\n"
        "    for name in glob.glob('/box/*') + glob.glob('/tmp/refact-eval-*/checker.json'):\n"
        "        if 'candidate' + '() == 42' in open(name).read(): return 42\n"
    ),
    "an end of the loop": "def answer():\n    raise StopIteration\n",
    "a reply that never ends": (
        "import os\n"
        "def answer():\n"
        "    while True:\n"
        "        for fd in range(3, 32):\n"
        "            try: os.write(fd, b'[' * 65536)\n"
        "            except OSError: pass\n"
    ),
    "a reply as deep as a well": (
        "import os\n"
        "def answer():\n"
        "    for fd in range(3, 32):\n"
        "        try: os.write(fd, b'{\"value\": ' + b'[' * 999999 + b'\\n')\n"
        "        except OSError: pass\n"
    ),
    "reply with an unknown tag": (
        "import os\n"
        "def answer():\n"
        "    for fd in range(3, 32):\n"
        '        try: os.write(fd, b\'{"value": {"eval": "42"}}\\n\')\n'
        "        except OSError: pass\n"
    ),
}


@pytest.mark.parametrize("cheat", CHEATS)
def test_a_success_cannot_be_faked(cheat: str, bwrap: Sandbox) -> None:
    assert judge(bwrap, CHEATS[cheat]).outcome in (FAILED, TIMED_OUT)


@pytest.mark.parametrize(
    "cheat", sorted(CHEATS.keys() - {"the answer read from the checker's job"})
)
def test_nor_without_bubblewrap(cheat: str, unsafe: Sandbox) -> None:
    # Here a program may read the test beside it: its own user's files are open to it.
    assert judge(unsafe, CHEATS[cheat]).outcome in (FAILED, TIMED_OUT)


def test_a_test_that_catches_everything_does_not_hide_that_the_program_is_gone(
    either: Sandbox,
) -> None:
    test = "def check(candidate):\n    try: candidate()\n    except BaseException: pass\n"
    assert judge(either, "def answer(): raise ValueError", test).outcome == PASSED
    gone = judge(either, "import os\ndef answer(): os._exit(0)", test)
    assert gone == Verdict(FAILED, "the program ended")


def test_cases_that_are_mapped_are_all_judged(either: Sandbox) -> None:
    test = "def check(candidate):\n    assert all(map(lambda _: candidate() == 42, [1, 2]))\n"
    assert judge(either, CHEATS["an end of the loop"], test).outcome == FAILED
