//! onceward-tower
