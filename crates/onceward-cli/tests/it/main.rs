//! The command, run as its users run it: one binary, one module a subject.

#![cfg(test)]

mod barrier;
mod check;
mod commands;
mod demo;
mod deploy;
mod descriptors;
mod frozen;
mod full_disk;
mod gateway;
mod gateway_certificate;
mod gateway_supervised;
mod keeping;
mod kit;
mod power_loss;
mod resolving;
mod routes;
mod scale_out;
mod serving;
mod store_down;
mod storm;
mod suites;
mod webhooks;
