"""How near ARM's inner loops come to what a CPU can multiply, by LLVM's model of it.

    python -m bench.arm_loops
    python -m bench.arm_loops --before 040c75d --llama llama.cpp/ggml --cpu neoverse-v1 apple-m4

compiles the loops that multiply 4-bit weights with many tokens, as wheels are compiled (needs
ziglang, from PyPI), and lets llvm-mca (Debian's llvm-22, or later) count the cycles of each. Memory
is left out: all that a loop reads is taken to be in the nearest cache. A model is no CPU; what it
shows is how many instructions besides the multiplying ones a loop needs, and how well they overlap.

`--before` names a commit whose loops, by rows as they were until 040c75d, stand beside today's;
`--llama` the folder `ggml` of llama.cpp's source, whose Q4_0 loops stand there too. Those read
weights that were laid out anew; ours include laying them out, once for 128 tokens.
"""

from __future__ import annotations

import argparse
import io
import re
import shutil
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[1]
NATIVE = "runtime/backends/native"
NATIVE_BEFORE = "runtime/native"  # at the commits that `--before` may name
FLAGS = ["-O3", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=fast", "-g0"]
TARGET = ["-target", "aarch64-linux-gnu.2.17"]
CPUS = ["neoverse-n1", "neoverse-v1", "neoverse-v2", "apple-m4"]
WITHOUT = {"smmla": {"neoverse-n1"}}  # which llvm-mca would compute all the same
PRODUCTS = {"sdot": 16, "smmla": 32}  # that an instruction adds up
ITERATIONS = 100
ALL = 'TARGET("arch=armv8.2-a+dotprod+i8mm")'


@dataclass(frozen=True)
class Loop:
    """A piece of a program that is run `times` times for `products` products."""

    code: str  # C, which includes the file and calls the loop in a function called `loop`
    counted: str  # the instruction by which passes through the loop are counted
    count: int  # how many of them the whole piece runs; 0 for one pass
    times: int = 1


@dataclass(frozen=True)
class Kernel:
    """All loops of one way to multiply."""

    name: str
    instruction: str
    loops: tuple[Loop, ...]
    products: int  # of all loops; 0 for those of one pass


def panel_kernel(kind: str, instruction: str, groups: int) -> Kernel:
    """Return 8 rows times 128 tokens and columns: a panel made once, 8 tokens at a time."""
    start = f'#include "kernels/cpu_{kind}.c"\n{ALL}\nvoid loop('
    multiply = f"""{start}const int8_t *codes, const int8_t *values, const float *scales,
        const float *token_scales, float *sums) {{
        {kind}_times({groups}, codes, values, scales, token_scales, sums);
    }} TARGET_END"""
    unpack = f"{start}Tile *tile, int b) {{ {kind}_unpack(4, tile, b, 0); }} TARGET_END"
    dots = 8 * 8 * 128 // PRODUCTS[instruction]
    loops = Loop(multiply, instruction, dots, times=16), Loop(unpack, "ushr", 32)
    return Kernel(f"{kind}, panels", instruction, loops, 8 * 128 * 128)


def row_kernel(kind: str, instruction: str, call: str) -> Kernel:
    """Return the loops before there were panels: rows times 8 tokens."""
    code = f"""#include "cpu_{kind}.c"
        {ALL}
        void loop(const Matrix *w, const Rounded *x, int n, int t, float *out, ptrdiff_t stride) {{
            {call};
        }} TARGET_END"""
    return Kernel(f"{kind}, before", instruction, (Loop(code, instruction, 0),), 0)


def llama_kernel(name: str, instruction: str) -> Kernel:
    """Return a loop of llama.cpp over rows and tokens that were laid out in fours."""
    code = f"""#include "ggml-cpu/arch/arm/repack.cpp"
        extern "C" void loop(int n, float *s, size_t bs, const void *vx, const void *vy, int nr,
            int nc) {{
        {name}(n, s, bs, vx, vy, nr, nc);
        }}"""
    return Kernel(f"llama.cpp, {name}", instruction, (Loop(code, instruction, 0),), 0)


OURS = (
    panel_kernel("neon", "sdot", 8),
    panel_kernel("i8mm", "smmla", 4),
)
BEFORE = (
    row_kernel("neon", "sdot", "times(4, 1, 8, w, x, n, 0, t, out, stride, 0)"),
    row_kernel("i8mm", "smmla", "two_rows(4, 4, w, x, n, n + 1, t, t + 8, out, stride, 0)"),
)
LLAMA = (
    llama_kernel("ggml_gemm_q4_0_4x4_q8_0", "sdot"),
    llama_kernel("ggml_gemm_q4_0_4x8_q8_0", "smmla"),
)


def tool(name: str) -> str:
    """Return LLVM's newest tool of that name.

    Raises:
        SystemExit: when there is none.

    """
    names = [f"{name}-{version}" for version in range(30, 15, -1)] + [name]
    path = next((path for path in map(shutil.which, names) if path), None)
    if path is None:
        raise SystemExit(f"no {name}: install LLVM's tools (Debian: llvm-22)")
    return path


def output(*command: object, text: str | None = None) -> str:
    """Run a command, with `text` for its input, and return what it prints.

    Raises:
        SystemExit: when it fails; with its words.

    """
    words = [str(part) for part in command]
    done = subprocess.run(words, input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(words[:4])} ... failed:\n{done.stderr}")
    return done.stdout


def disassembled(code: str, include: Path) -> list[tuple[int, str]]:
    """Compile C (C++ for llama.cpp) and return `loop`'s instructions with their addresses."""
    cpp = 'extern "C"' in code
    with TemporaryDirectory() as folder:
        source, built = Path(folder, "loop.cpp" if cpp else "loop.c"), Path(folder, "loop.o")
        source.write_text(code, encoding="utf-8")
        # Kernels of our own name what they need; llama.cpp's ask what the whole file may use.
        kind = ["c++", "-mcpu=generic+v8_2a+dotprod+i8mm"] if cpp else ["cc", "-std=c11"]
        folders = [include, include.parent / "include", include / "ggml-cpu"]
        paths = [f"-I{path}" for path in folders]
        zig = [sys.executable, "-m", "ziglang", *kind, *TARGET]
        output(*zig, *FLAGS, *paths, "-c", source, "-o", built)
        command = [tool("llvm-objdump"), "-d", "--no-show-raw-insn", "--disassemble-symbols=loop"]
        lines = re.findall(r"^\s+([0-9a-f]+):\s+(.+)$", output(*command, built), re.M)
    return [(int(address, 16), text) for address, text in lines]


def trace_of(listing: list[tuple[int, str]], counted: str, count: int) -> list[str]:
    """Return a function's instructions in the order in which they run, its inner loop unrolled.

    Without `count` one pass through the inner loop with the most `counted` instructions.
    """
    places = {address: i for i, (address, _) in enumerate(listing)}
    text = [line for _, line in listing]

    def dots(first: int, last: int) -> int:
        return sum(line.split()[0] == counted for line in text[first : last + 1])

    branches = (
        (places.get(int(target[1], 16), i), i)
        for i, line in enumerate(text)
        if (target := re.search(r"^(?:b\.|cbn?z|tbn?z).*?\b0x([0-9a-f]+)", line))
    )
    loops = [(first, last) for first, last in branches if first < last and dots(first, last)]
    inner = [a for a in loops if not any(a != b and a[0] <= b[0] and b[1] <= a[1] for b in loops)]
    if not inner:
        return text
    first, last = max(inner, key=lambda loop: dots(*loop))
    if not count:
        return text[first : last + 1]
    passes, rest = divmod(count - dots(0, first - 1) - dots(last + 1, len(text)), dots(first, last))
    if rest or len(inner) > 1:
        raise SystemExit(
            f"{len(inner)} loops with {counted}, {dots(first, last)} in one: expected {count}"
        )
    return text[:first] + text[first : last + 1] * passes + text[last + 1 :]


def cycles_of(trace: list[str], cpu: str) -> tuple[float, float]:
    """Return a trace's cycles among others like it: simulated, and by its busiest unit alone."""
    lines = [re.sub(r"0x[0-9a-f]+ <.*>", "top", line) for line in trace if line != "ret"]
    command = [tool("llvm-mca"), "-mtriple=aarch64", f"-mcpu={cpu}", f"-iterations={ITERATIONS}"]
    listing = output(*command, "-mattr=+dotprod,+i8mm", text="\n".join(["top:", *lines, ""]))
    total = re.search(r"^Total Cycles:\s+(\d+)", listing, re.M)
    bound = re.search(r"^Block RThroughput:\s+([\d.]+)", listing, re.M)
    assert total is not None, listing
    assert bound is not None, listing
    return int(total[1]) / ITERATIONS, float(bound[1])


def limit_of(instruction: str, cpu: str) -> float:
    """Return the cycles of one such instruction when nothing else runs."""
    lane = ".4b[0]" if instruction == "sdot" else ".16b"
    lines = [f"{instruction} v{i}.4s, v30.16b, v31{lane}" for i in range(24)]
    return cycles_of(lines, cpu)[0] / len(lines)


def row_of(kernel: Kernel, include: Path, cpus: list[str]) -> list[str]:
    """Return a line of the table: other instructions a multiplying one, and each CPU's figures."""
    traces = [
        (loop.times, trace_of(disassembled(loop.code, include), loop.counted, loop.count))
        for loop in kernel.loops
    ]
    dots = sum(
        times * sum(line.split()[0] == kernel.instruction for line in trace)
        for times, trace in traces
    )
    products = dots * PRODUCTS[kernel.instruction]
    if kernel.products and products != kernel.products:
        raise SystemExit(f"{kernel.name}: {products} products, expected {kernel.products}")
    others = sum(times * len(trace) for times, trace in traces) / dots - 1
    row = [kernel.name, kernel.instruction, f"{others:.2f}"]
    for cpu in cpus:
        if cpu in WITHOUT.get(kernel.instruction, ()):
            row.append("has none")
            continue
        timed = [(times, *cycles_of(trace, cpu)) for times, trace in traces]
        simulated = sum(times * cycles for times, cycles, _ in timed)
        bound = sum(times * cycles for times, _, cycles in timed)
        reached = dots * limit_of(kernel.instruction, cpu) / simulated
        row.append(f"{products / simulated:.1f} ({reached:.0%}) {products / bound:.1f}")
    return row


def unpack_commit(commit: str, folder: Path) -> Path:
    """Return the native sources as they were at a commit."""
    command = ["git", "-C", str(ROOT), "archive", commit, NATIVE_BEFORE]
    done = subprocess.run(command, capture_output=True, check=True)
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        archive.extractall(folder, filter="data")
    return folder / NATIVE_BEFORE


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--before", metavar="COMMIT", help="that commit's loops beside today's")
    parser.add_argument("--llama", metavar="DIR", type=Path, help="ggml of llama.cpp's source")
    parser.add_argument("--cpu", nargs="+", default=CPUS, help="CPUs that llvm-mca knows")
    options = parser.parse_args()
    header = ["loop", "multiplies by", "others", *options.cpu]
    rows = [header, ["---"] * len(header)]
    if options.before:
        with TemporaryDirectory() as folder:
            sources = unpack_commit(options.before, Path(folder))
            rows += [row_of(kernel, sources, options.cpu) for kernel in BEFORE]
    rows += [row_of(kernel, ROOT / NATIVE, options.cpu) for kernel in OURS]
    if options.llama:
        rows += [row_of(kernel, options.llama / "src", options.cpu) for kernel in LLAMA]
    print("products a cycle as simulated (part of the multiplying instruction's limit), and by the")
    print("busiest unit alone")
    for row in rows:
        print(f"| {' | '.join(row)} |")


if __name__ == "__main__":
    main()
