//! The memory store under schedules of threads that chance chooses, one step of a lock or an atomic at a time.
//!
//! There is nothing in this library; `tests/it` has the schedules. They need the store built with shuttle's locks in place of the standard
//! library's, which is a build of its own: `cargo xtask test --only schedules`.
