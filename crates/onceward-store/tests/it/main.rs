//! What stores promise, put to each of them.

#![cfg(test)]

mod crash;
mod faulty;
mod files;
mod kit;
mod memory;
#[cfg(feature = "mysql")]
mod mysql;
#[cfg(feature = "postgres")]
mod postgres;
mod power;
#[cfg(feature = "redis")]
mod redis;
#[cfg(feature = "shared")]
mod shared;
mod sqlite;
