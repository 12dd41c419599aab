//! The store on MariaDB: the suite, faults on the way and at the server, and what opening refuses.

mod faults;
mod kit;
mod suite;
