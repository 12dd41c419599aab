//! onceward-control
