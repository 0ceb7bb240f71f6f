//! Shared input and helpers of the benchmarks.
