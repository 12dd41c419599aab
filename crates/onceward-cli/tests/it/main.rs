//! The command, run as its users run it: one binary, one module a subject.

#![cfg(test)]

mod check;
mod commands;
mod demo;
mod gateway;
mod kit;
mod routes;
mod serving;
mod suites;
