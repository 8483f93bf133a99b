//! Limits of `BPF_PROG_TEST_RUN`.

/// Length in bytes of the shortest frame that `BPF_PROG_TEST_RUN` accepts: an
/// Ethernet header (`net/bpf/test_run.c`).
pub(super) const SHORTEST: usize = 14;

/// Length in bytes of the longest linear part of a frame that a program sees in a
/// test run. It has room for every header that the parser reads.
pub(super) const LONGEST: usize = 3520;
