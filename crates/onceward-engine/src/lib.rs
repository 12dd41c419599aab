//! onceward-engine
