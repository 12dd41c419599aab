//! Tests of the engine against real stores, on a clock that is moved and never waited for.

#![cfg(test)]

mod counting;
mod deadline;
mod erasing;
mod kit;
mod processes;
mod resolving;
mod running;
mod simulation;
mod store_down;
mod trouble;
mod twins;
