"""salve_fuzz_test: a libFuzzer target that is also an ordinary test."""

def salve_fuzz_test(name, srcs, corpus, dict = None, deps = [], seconds = 3, **kwargs):
    """Replays a corpus and then mutates it for a few seconds.

    By default it links //tests/fuzz:replay_main, which any compiler builds;
    with --config=fuzz the same target is a real libFuzzer binary.

    Args:
      name: of the test, by custom `x_fuzz_test`.
      srcs: the file with LLVMFuzzerTestOneInput, by custom `x_fuzz.cc`.
      corpus: a glob of files of this package, at least one.
      dict: a file of this package with tokens in libFuzzer's form.
      deps: what is tested.
      seconds: how long to mutate in one test run.
      **kwargs: as of cc_test.
    """
    if not corpus:
        fail("%s: an empty corpus tests nothing; is the glob right?" % name)
    folders = {}
    for file in corpus:
        folder = file.rpartition("/")[0]
        folders["/".join([part for part in [native.package_name(), folder] if part])] = True
    places = sorted(folders.keys())
    dict_path = native.package_name() + "/" + dict if dict else None
    native.cc_test(
        name = name,
        srcs = srcs,
        args = select({
            "//tests/fuzz:libfuzzer": [
                "-max_total_time=%d" % seconds,
                "-max_len=65536",
                "-timeout=10",
            ] + (["-dict=" + dict_path] if dict else []) + places,
            "//conditions:default": [
                "--seconds=%d" % seconds,
            ] + (["--dict=" + dict_path] if dict else []) + places,
        }),
        data = corpus + ([dict] if dict else []),
        deps = deps + ["//tests/fuzz:replay_main"],
        size = kwargs.pop("size", "small"),
        **kwargs
    )
