//! Ways in to what reads a client's first bytes, for the targets of `fuzz/`; in no user's build.

pub use crate::connect::fuzz::{PeekedHello, peek_hello};
pub use crate::server::fuzz::{Message, messages, plain_head, spoken};
