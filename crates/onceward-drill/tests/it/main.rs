//! The suites, held against servers that keep their promises and servers that do not.

#![cfg(test)]

mod broken;
mod guards;
mod servers;
mod strangers;
mod tls;
