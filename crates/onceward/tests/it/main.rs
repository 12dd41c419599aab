//! The face as a service uses it.

#![cfg(test)]

mod lifetime;
