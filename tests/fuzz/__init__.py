"""A fuzzer over everything hostile that can be opened: bundles, checkpoints, saved caches.

    make fuzz                                    10,000 mutants of seed 0, on all cores
    make fuzz ARGS="--seed 7 --count 2000"       others; a run that was stopped goes on
    make fuzz ARGS="--seed 7 --only 1234"        one mutant again; its folder stays

A mutant is a tiny random bundle (or checkpoint, adapter, folder of caches) with one to three
changes. Its number and the seed say which. Sizes and hashes in the manifest are made to fit after a
change, as a hostile author would, except in mutants that test the hashes. A job opens it (`load`
with each engine and a few tokens, `info`, `doctor`, `export_bundle`), in a process of its own.

A job may answer anything or refuse with one clear line (a RefactEdgeError). All else is a fault:
another exception, a warning of others, death by a signal, a sanitizer's report, over 20 seconds or
1 GB, files written elsewhere, output on standard output, an altered file that is accepted although
its hash is wrong. Jobs are watched by means that only Linux has.

| file | question |
|---|---|
| wire.py | how a protobuf message is taken apart and put together, also wrongly |
| values.py | what hostile JSON looks like |
| manifest.py, tokenizer.py, bundles.py, checkpoints.py, caches.py | what is changed |
| wires.py, graphs.py, tensors.py, layers.py | what is changed in a graph |
| damage.py | what is changed in a file of which nothing is known |
| originals.py | what is changed from |
| kinds.py | which mutant has which number, and which jobs look at it |
| jobs.py | how a mutant is opened |
| child.py | what a job's process may take, and how the job ended |
| watch.py, outcome.py | what became of a job |
| server.py | how one process forks a child for each job |
| sanitized.py | how the kernels are built for AddressSanitizer |
| runner.py | how servers share the work |
| sources.py | which code is fuzzed |
| results.py, report.py | what is kept of a run, and what it comes to |
"""
