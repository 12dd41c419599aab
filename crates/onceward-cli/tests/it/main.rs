//! The command, run as its users run it: one binary, one module a subject.

#![cfg(test)]

mod commands;
mod demo;
mod kit;
mod serving;
