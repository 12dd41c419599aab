//! The control API of a running onceward: what operators, probes and the command line ask it and tell it (S5, D2-D5, A1-A3).
//!
//! It is reached through two doors. [`UnixDoor`] is a socket that only its own user can open; [`TcpDoor`] is a listener, on loopback
//! unless told otherwise, whose callers show a [`Token`]. What no door admitted, no route answers. [`client::ControlClient`] is the
//! other end, and [`wire`] what the two exchange.

pub mod client;
mod control;
mod door;
#[cfg(feature = "fuzz")]
pub mod fuzz;
mod gate;
mod limits;
mod present;
mod refused;
mod routes;
mod serve;
mod status;
mod token;
pub mod wire;

pub use control::Control;
pub use door::{DoorError, Reach, TcpDoor, UnixDoor};
pub use serve::{serve_tcp, serve_unix};
pub use status::effect_status;
pub use token::{Token, TokenInvalid};
