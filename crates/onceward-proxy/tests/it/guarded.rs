//! The guarded path as a browser meets it: server, rules, engine and upstream together, against origins that count and misbehave.

mod doubt;
mod hostile;
mod keys;
mod kit;
mod operations;
mod origin;
mod quiet;
mod repeats;
